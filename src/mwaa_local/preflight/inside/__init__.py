"""Programs that run in a package set's Python, beside Airflow. They import nothing of ours and keep to old syntax."""
