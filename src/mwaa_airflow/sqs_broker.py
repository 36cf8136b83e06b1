"""Celery's transport: kombu's SQS transport with MWAA's observable behaviour.

kombu does the work; three things differ (spec/10 section 6.3):

* a message given back at shutdown is visible at once (kombu 5.6 hides it for the poll time);
* the clients ignore the user's AWS variables and proxies (see ``mwaa_airflow.aws_client``);
* an endpoint that is down or unwell is asked once a second, never ends the worker, and a message
  that could not be deleted meanwhile is deleted later (kombu would keep its place taken for ever).
"""

import inspect

from botocore.exceptions import BotoCoreError, ClientError
from kombu.log import get_logger
from kombu.transport import SQS, virtual
from vine import transform

from mwaa_airflow import aws_client

logger = get_logger(__name__)

#: Seconds between two questions to an endpoint that did not answer the last one.
RETRY_SECONDS = 1.0


class Channel(SQS.Channel):
    """kombu's channel; see the module's text for the differences."""

    #: kombu before 5.3 looks the queue's URL up by itself.
    takes_url = "queue_url" in inspect.signature(SQS.Channel._get_from_sqs).parameters

    def __init__(self, *args, **kwargs):
        # Queues whose last receive failed; before super(), which may start receiving.
        self._unwell = set()
        # (queue, URL, receipt) of finished messages whose deletion the endpoint did not take.
        self._undeleted = []
        super(Channel, self).__init__(*args, **kwargs)

    def new_sqs_client(self, region, access_key_id, secret_access_key, session_token=None):
        """Return the client for sending, deleting and returning messages."""
        given = (access_key_id, secret_access_key) if access_key_id else None
        return aws_client.client("sqs", region, self.endpoint_url, attempts=2, credentials=given)

    def asynsqs(self, queue=None):
        """Return the client for receiving, which is libcurl under Celery's event loop."""
        made = super(Channel, self).asynsqs(queue)
        http = getattr(made, "_httpclient", None)
        if getattr(http, "mwaa_direct", None) is None and hasattr(http, "_curls"):
            import pycurl

            for handle in http._curls:
                # libcurl reads http_proxy by itself; the broker is never behind the user's proxy.
                handle.setopt(pycurl.NOPROXY, "*")
            http.mwaa_direct = True
        return made

    def _put(self, queue, message, **kwargs):
        if not message.get("redelivered"):
            return super(Channel, self)._put(queue, message, **kwargs)
        self.sqs(queue=self.canonical_queue_name(queue)).change_message_visibility(
            QueueUrl=self._new_queue(queue),
            ReceiptHandle=message["properties"]["delivery_tag"],
            VisibilityTimeout=0,
        )
        return None

    def basic_ack(self, delivery_tag, multiple=False):
        """Delete a finished message, now or when the endpoint is back."""
        try:
            super(Channel, self).basic_ack(delivery_tag, multiple)
        except BotoCoreError as error:
            info = self.qos.get(delivery_tag).delivery_info
            queue = self.canonical_queue_name(info["routing_key"])
            logger.warning("A finished message of queue %s cannot be deleted yet: %s", queue, error)
            if not self._undeleted:
                self.hub.call_later(RETRY_SECONDS, self._delete_rest)
            self._undeleted.append((queue, info["sqs_queue"], delivery_tag))
            virtual.Channel.basic_ack(self, delivery_tag)

    def _delete_rest(self):
        while self._undeleted:
            queue, url, receipt = self._undeleted[0]
            try:
                self.sqs(queue=queue).delete_message(QueueUrl=url, ReceiptHandle=receipt)
            except ClientError as error:
                # The endpoint does not know it any more, so that there is nothing left to delete.
                logger.warning("A finished message of queue %s was not deleted: %s", queue, error)
            except BotoCoreError:
                self.hub.call_later(RETRY_SECONDS, self._delete_rest)
                return
            self._undeleted.pop(0)

    def _get_async(self, queue, count=1, callback=None):
        url = self._new_queue(queue)
        name = self.canonical_queue_name(queue)
        received = transform(self._on_messages_ready, callback, url, queue)
        received.on_error = lambda *args: self._on_receive_error(queue, args[-1])
        more = {"count": count, "connection": self.asynsqs(queue=name), "callback": received}
        if self.takes_url:
            return self._get_from_sqs(queue_name=name, queue_url=url, **more)
        return self._get_from_sqs(name, **more)

    def _on_messages_ready(self, url, queue, messages):
        # kombu hands over an empty list, not a parsed answer, when there was no proper answer.
        self._note(queue, None if isinstance(messages, dict) else "no answer")
        return super(Channel, self)._on_messages_ready(url, queue, messages)

    def _on_receive_error(self, queue, error):
        if type(error) is not Exception:
            # Only the plain Exception is kombu's "the answer was an error"; the rest is Celery's business.
            raise error
        self._note(queue, error)
        self._loop1(queue)

    def _note(self, queue, problem):
        if problem is None and queue in self._unwell:
            self._unwell.discard(queue)
            logger.info("The broker answers again for queue %s.", queue)
        elif problem is not None and queue not in self._unwell:
            self._unwell.add(queue)
            logger.warning("The broker does not answer for queue %s, asking again every second: %s", queue, problem)

    def _loop1(self, queue, _=None):
        if queue in self._unwell:
            self.hub.call_later(RETRY_SECONDS, self._schedule_queue, queue)
        else:
            super(Channel, self)._loop1(queue)


class Transport(SQS.Transport):
    """kombu's transport with our channel."""

    Channel = Channel

    #: Sending is tried again after these. Without the name kombu gives up after one new connection, and
    #: with SQS, where connecting asks nothing of the endpoint, that is at once.
    recoverable_connection_errors = SQS.Transport.connection_errors
    recoverable_channel_errors = ()
