"""A triggerer that ends when its runner has ended, rather than 10 seconds later.

On 3.x the triggerer waits on the sockets of its runner for the rest of its patience, also when
the last socket is closed already: the runner's end is then seen only after that wait. Whether
the wait happens is a race that about every second stop loses.
"""

#: Seconds between two looks at a process whose sockets are all closed.
LOOK = 0.1


def install():
    """Make this process look often once there is no socket left to wait for; no such class, no change."""
    try:
        from airflow.sdk.execution_time.supervisor import WatchedSubprocess
    except ImportError:
        return
    service = WatchedSubprocess._service_subprocess

    def look_often(self, max_wait_time, *args, **kwargs):
        if not self.selector.get_map():
            max_wait_time = min(max_wait_time, LOOK)
        return service(self, max_wait_time, *args, **kwargs)

    WatchedSubprocess._service_subprocess = look_often
