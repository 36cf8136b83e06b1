"""The AWS endpoint: the server (``server``), and how the tool speaks to one (``client``)."""
