"""Reading task logs back from CloudWatch Logs (spec/10 section 7.5)."""

import datetime

from mwaa_airflow import aws_client

#: Lines that arrive this long after a task's end still belong to it.
AFTER_END = datetime.timedelta(seconds=30)

#: Of an endpoint that repeats a page token for ever, this many pages are read.
MAX_PAGES = 10000


def make_client():
    """Return a client that gives up in time for a web request."""
    return aws_client.client("logs", connect_timeout=2.0, read_timeout=5.0, attempts=2)


def stream_name(path):
    """Return the stream of a relative log path: what CloudWatch Logs forbids is replaced."""
    return str(path).replace(":", "_")


def end_time(task_instance):
    """Return the end of the window in milliseconds since 1970, ``None`` while the task runs."""
    ended = getattr(task_instance, "end_date", None)
    if ended is None:
        return None
    return int((ended + AFTER_END).timestamp() * 1000)


def events(client, group, stream, until=None):
    """Yield the events of a stream from its beginning.

    Args:
        client: A client from ``make_client``.
        group: Name of the group.
        stream: Name of the stream.
        until: Milliseconds since 1970, or ``None``.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: The endpoint failed.
    """
    arguments = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
    if until is not None:
        arguments["endTime"] = until
    for _ in range(MAX_PAGES):
        page = client.get_log_events(**arguments)
        for event in page["events"]:
            yield event
        token = page.get("nextForwardToken")
        if token is None or token == arguments.get("nextToken"):
            # An end of the stream is told by the token that was sent.
            return
        arguments["nextToken"] = token


def trigger_streams(client, group, stream):
    """Return the names of the streams of a task's deferred parts, oldest first.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: The endpoint failed.
    """
    arguments = {"logGroupName": group, "logStreamNamePrefix": stream + ".trigger."}
    found = []
    for _ in range(MAX_PAGES):
        page = client.describe_log_streams(**arguments)
        found.extend(page.get("logStreams", ()))
        if not page.get("nextToken"):
            break
        arguments["nextToken"] = page["nextToken"]
    found.sort(key=lambda item: (item.get("creationTime", 0), item["logStreamName"]))
    return [item["logStreamName"] for item in found]
