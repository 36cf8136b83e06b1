"""What ``requirements.txt`` leads to on MWAA: resolved as pip would there, and why where it cannot be.

``resolve`` is the entry; ``uv`` and ``pip`` ask the two resolvers, ``conflict`` says which line is the cause, ``fix``
what to write instead, ``foreign`` reads a file that was made for another Airflow.
"""
