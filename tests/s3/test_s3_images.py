"""Images that lie in a bucket."""

import pyarrow as pa

from tests.pictures import png
from tests.run.rehearsal import job, rehearse


def test_images_are_read_from_a_bucket_and_a_missing_one_is_an_error_of_its_row(tmp_path, object_store):
    object_store.client().put_object(Bucket=object_store.bucket, Key="photos/a.png", Body=png())
    urls = [f"s3://{object_store.bucket}/photos/{name}.png" for name in ("a", "none")]
    table = pa.table({"text": ["What is this?"] * 2, "photo": urls})
    options = {"endpoint": object_store.endpoint}

    ended = rehearse(job(tmp_path, table, prompt={"images": ["photo"]}, input={"storage_options": options}))

    assert [row["status"] for row in ended.rows()] == ["ok", "unsendable"]
    assert ended.row(1)["error_message"] == "column 'photo': the image is not there: no such object"
