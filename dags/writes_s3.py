"""S3 through boto3, with no endpoint and no credentials in the code: what runs here runs on MWAA."""

from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

BUCKET = "example-results"


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, is_paused_upon_creation=False, tags=["example", "smoke"])
def writes_s3():
    @task
    def write() -> str:
        import boto3

        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="greeting.txt", Body=b"Hello S3")
        return "greeting.txt"

    @task
    def read(key: str) -> str:
        import boto3

        text = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        print(text)
        return text

    read(write())


writes_s3()
