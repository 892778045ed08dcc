"""How media comes and goes: inline, through private links, in part, and not at all."""

from __future__ import annotations

import math
import statistics

import pytest
import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import PRIVATE, Client, eventually


def fetch(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=10)


def test_a_finished_job_answers_with_its_clip(client: Client) -> None:
    job = client.done()
    answer = client.retrieve(job)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    poll = client.venice.journal.polls(job["queue_id"])[0]
    assert (poll.size, poll.bytes_delivered) == (len(answer.content), len(answer.content))


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_a_reader_that_leaves_after_the_head_got_nothing(size: int, caplog: pytest.LogCaptureFixture) -> None:
    with VeniceSimulator(media="shared", padding=size) as venice:
        client = Client(venice)
        with client.session:
            job = client.done()
            client.retrieve(job)
            venice.journal.clear()
            client.retrieve(job, stream=True).close()
        poll = venice.journal.polls()[0]
        assert eventually(lambda: poll.reply_lost)
        assert (poll.size, poll.bytes_delivered, poll.status) == (size, 0, 200)
    assert not [record for record in caplog.records if record.exc_info]


def test_deletion_on_completion_is_noted(client: Client) -> None:
    job = client.job()
    assert client.retrieve(job, delete_media_on_completion=True).json()["status"] == "PROCESSING"
    client.venice.finish()
    answer = client.retrieve(job, delete_media_on_completion=True)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert client.retrieve(job).status_code == 404
    journal = client.venice.journal
    assert len(journal.deletion_requests) == 2
    assert [entry.deleted for entry in journal] == [None, None, job["queue_id"], None]
    assert not journal.unread_deletions


def test_deletion_before_all_was_read_is_noted(client: Client) -> None:
    left, unread, revoked, flagged = client.done(), client.done(), client.done(**PRIVATE), client.done(**PRIVATE)
    client.retrieve(left)
    client.retrieve(left, stream=True, delete_media_on_completion=True).close()
    client.retrieve(unread, stream=True, delete_media_on_completion=True).close()
    fetch(revoked["download_url"], Range="bytes=100-")
    requests.delete(revoked["download_url"], timeout=10)
    client.retrieve(flagged, delete_media_on_completion=True)
    expected = [unread["queue_id"], revoked["queue_id"], flagged["queue_id"]]
    assert eventually(lambda: sorted(client.venice.journal.unread_deletions) == sorted(expected))
    assert fetch(flagged["download_url"]).status_code == 410


def test_a_private_link_delivers_in_parts_without_a_key(client: Client) -> None:
    job = client.done(**PRIVATE)
    url = job["download_url"]
    whole = fetch(url)
    size = len(whole.content)
    assert (whole.status_code, whole.headers["Accept-Ranges"]) == (200, "bytes")
    first = fetch(url, Range="bytes=0-999")
    rest = fetch(url, Range="bytes=1000-", **{"If-Range": whole.headers["ETag"]})
    assert [first.status_code, rest.status_code] == [206, 206]
    assert first.headers["Content-Range"] == f"bytes 0-999/{size}"
    assert rest.headers["Content-Range"] == f"bytes 1000-{size - 1}/{size}"
    assert first.content + rest.content == whole.content
    assert fetch(url, Range="bytes=-10").content == whole.content[-10:]
    other = fetch(url, Range="bytes=5-", **{"If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert [entry.key for entry in client.venice.journal.calls("download", job["queue_id"])] == [None] * 5


def test_parts_add_up_to_a_read_clip(client: Client) -> None:
    url = client.done(**PRIVATE)["download_url"]
    fetch(url, Range="bytes=5000-")
    fetch(url, Range="bytes=0-5500")
    assert requests.delete(url, timeout=10).status_code == 204
    assert not client.venice.journal.unread_deletions


def test_a_range_beyond_the_end(client: Client) -> None:
    answer = fetch(client.done(**PRIVATE)["download_url"], Range="bytes=99999999-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"].startswith("bytes */")


def test_a_private_link_allows_five_fetches_then_deletion(client: Client) -> None:
    job = client.job(**PRIVATE)
    url = job["download_url"]
    assert fetch(url).status_code == 404
    client.venice.finish()
    assert [fetch(url).status_code for _ in range(6)] == [200] * 5 + [429]
    assert requests.delete(url, timeout=10).status_code == 204
    assert [fetch(url).status_code, requests.delete(url, timeout=10).status_code] == [410, 410]
    assert client.retrieve(job).status_code == 404
    assert fetch(url + "x").status_code == 404


def test_media_expires() -> None:
    # 24 h of the vendor's time take 0.432 s, 1 h takes 0.018 s.
    with VeniceSimulator(speed=200_000, job_seconds=0, media="shared") as venice:
        client = Client(venice)
        with client.session:
            inline, private = client.job(), client.job(**PRIVATE)
            assert eventually(lambda: client.retrieve(inline).status_code == 404)
            assert eventually(lambda: fetch(private["download_url"]).status_code == 410)
            assert venice.jobs[0].fate == venice.jobs[1].fate == "expired"


def test_jobs_end_by_themselves_in_wall_time() -> None:
    with VeniceSimulator(speed=100, job_seconds=150, media="shared") as venice:
        client = Client(venice)
        with client.session:
            job = client.job()
            status = client.retrieve(job).json()
            assert (status["status"], status["average_execution_time"]) == ("PROCESSING", 1500)
            assert eventually(lambda: client.retrieve(job).headers["Content-Type"] == "video/mp4")
            assert venice.jobs[0].ready_at - venice.jobs[0].queued_at == pytest.approx(1.5)


def test_job_times_are_log_normal_and_repeatable() -> None:
    def times(seed: int) -> list[float]:
        with VeniceSimulator(seed=seed, limits=False, media="shared", balance=1000) as venice:
            client = Client(venice)
            with client.session:
                average = client.retrieve(client.job()).json()["average_execution_time"] / 1000
                for _ in range(199):
                    client.job()
            assert average == pytest.approx(120 * math.exp(0.8416 * 0.25), abs=0.001)
            return [average, *(job.ready_at - job.queued_at for job in venice.jobs)]

    average, *first = times(seed=1)
    assert first == pytest.approx(times(seed=1)[1:], abs=1e-3)
    assert first != pytest.approx(times(seed=2)[1:], abs=1e-3)
    assert 110 < statistics.median(first) < 130
    assert 0.72 < sum(seconds <= average for seconds in first) / len(first) < 0.88
