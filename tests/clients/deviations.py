"""Where a client fails, whose fault that is, and what each client does that the simulator cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``the client's``; ``the simulator's``; ``open`` where the vendor's documents do not say who is right.
Fault = Literal["the client's", "the simulator's", "open"]


@dataclass(frozen=True)
class Deviation:
    """
    Why a case of a client fails.

    :param cases: the cases that fail for this reason.
    :param fault: whose fault it is.
    :param evidence: what shows that, in reStructuredText.
    """

    cases: tuple[str, ...]
    fault: Fault
    evidence: str


PNG, JPEG = "Image to video, from a PNG file", "Image to video, from a JPEG file"
CLIP, PRIVATE, UPSCALE = "Text to video", "A private model", "Upscale a file"
LOST, GATEWAY = "Lost answer to the submission", "504 after the submission"
DOWNLOAD, DELETE, DELETE_PRIVATE = (
    "Download a finished clip by its id",
    "Download, then delete",
    "Delete a private clip",
)

DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "venice-sdk": (
        Deviation(
            (PRIVATE,),
            "the client's",
            "``VideoJob.is_completed`` compares with ``completed``, and the API says ``COMPLETED``: the wait never "
            "ends. ``queue()`` drops the ``download_url``, which the API gives only there, so the clip that was paid "
            "cannot be had at all.",
        ),
        Deviation(
            (DELETE_PRIVATE,),
            "the client's",
            "It has no function for it, and does not keep the link.",
        ),
        Deviation(
            (LOST, GATEWAY),
            "the client's",
            "``HTTPClient`` lets urllib3 repeat a POST after a broken connection and after 500, 502, 503 and 504, up "
            "to three times, ``/video/queue`` too. Each one that Venice has accepted is charged.",
        ),
        Deviation(
            (JPEG,),
            "the client's",
            "``VideoAPI._encode_image`` calls every file ``image/png``; the API wants the file's real type.",
        ),
        Deviation(
            ("409, the policy's text", "422, the suggested prompt"),
            "the client's",
            "``handle_api_error`` keeps ``error`` and ``details`` of the answer; ``consent`` and ``suggested_prompt`` "
            "stand beside them and are lost.",
        ),
    ),
    "venice-py": (),
    "veniceresch": (
        Deviation(
            (CLIP, PNG, JPEG, UPSCALE),
            "the client's",
            "``wait_for_completion`` reads each answer to ``/video/retrieve`` as JSON, and the answer for a finished "
            "clip is the MP4 itself. ``download()`` gets the clip, for whoever knows that it is finished.",
        ),
        Deviation(
            (DELETE_PRIVATE,),
            "the client's",
            "It has no function for it.",
        ),
    ),
    "venice-cli": (
        Deviation(
            (DELETE_PRIVATE,),
            "the client's",
            "It sends ``/video/complete`` only, which does not know private jobs, and warns that this failed.",
        ),
    ),
    "veniceai-cli": (
        Deviation(
            ("Quote", UPSCALE, DELETE, DELETE_PRIVATE),
            "the client's",
            "It has no command, or no option, for it.",
        ),
        Deviation(
            (CLIP, DOWNLOAD, "429 at a poll", "503 at two polls", "A transfer that is cut"),
            "the client's",
            "``apiRequest`` reads each answer as JSON, and the answer for a finished clip is the MP4 itself. It "
            "fetches the whole clip four times, and gives up.",
        ),
        Deviation(
            (PNG, JPEG),
            "open",
            "``queueVideoGeneration`` sends ``aspect_ratio`` with every request, ``16:9`` where its user names none. "
            "Venice's documents say that some models do not support it, and its pages of image-to-video models have "
            "no aspect ratios; whether the field is refused or ignored is not known. The simulator refuses it.",
        ),
        Deviation(
            (PRIVATE,),
            "the client's",
            "``video retrieve`` looks for ``video_url`` in the status, where the API has none. The ``download_url`` "
            "of the submission is printed with ``--format json`` only, and no command takes it.",
        ),
        Deviation(
            ("409, the policy's text",),
            "the client's",
            "``VeniceApiError.fromResponse`` keeps ``error.message`` and ``error.code`` only.",
        ),
        Deviation(
            (LOST, GATEWAY),
            "the client's",
            "``apiRequest`` repeats a POST after a 5xx, and after a broken connection if ``api.venice.ai`` can be "
            "reached, up to three times, ``/video/queue`` too. Each one that Venice has accepted is charged.",
        ),
    ),
}

#: What each client does that the run does not show, read from its source.
HABITS: dict[str, tuple[str, ...]] = {
    "venice-sdk": (
        "Polls every 5 s; ``wait_for_completion`` without end unless ``max_wait_time`` is given, ``complete`` for 15 "
        "minutes.",
        "Sends a request that is refused with 429 up to four times by urllib3, which obeys ``Retry-After``, and that "
        "up to three times over by a loop of its own.",
        "Each poll reads the whole answer into memory. The finished clip is stored in ``venice_sdk_videos`` in the "
        "temporary folder, under the first eight characters of its id, and stays there.",
        "``complete`` queues and waits; the API's ``/video/complete``, which deletes, is ``cleanup``.",
    ),
    "venice-py": (
        "Polls every 5 s, 120 times; then ``TimeoutError``, after which the job can still be waited for.",
        "Resends nothing that is charged unless the connection was never made, or a 503 carries ``Retry-After``. "
        "Quotes, polls and deletions are sent up to three times.",
        "``VeniceClient()`` does not wait for rate limits; a client from ``VeniceClientFactory`` does.",
        "Reads the list of models before a quote and a submission, to check the duration.",
        "``async with`` deletes the clip at Venice when the block ends without an error. Clips are held in memory.",
    ),
    "veniceresch": (
        "Polls every 2 s, 30 requests a minute for each job, for 10 minutes: four jobs use up the rate limit of a key.",
        "Resends nothing and waits for no rate limit; both are left to the caller. Clips are held in memory.",
    ),
    "venice-cli": (
        "Polls every 5 s for 15 minutes. Resends nothing: an error at a poll ends the command, which names the one "
        "that waits again. A transfer that is cut ends it with a traceback.",
        "Deletes the clip at Venice once it is stored, unless told ``--no-cleanup``.",
        "Stores the link of a private clip only with ``--background``. A command that is killed while it waits has "
        "shown neither the id nor the link of what was paid.",
        "Fetches private clips by https and from public addresses only.",
    ),
    "veniceai-cli": (
        "``video status --wait`` polls every 5 s without end.",
        "Waits 2, 4, 6 and 8 s after a 429, and 1, 2 and 3 s after a 5xx.",
        "``video models`` prints a list that is part of the program; ``models --type video`` asks the API.",
        "Never deletes a clip.",
    ),
}


def deviation_of(client: str, case: str) -> Deviation | None:
    """Return why a case of a client fails, as far as that is known."""
    return next((known for known in DEVIATIONS[client] if case in known.cases), None)
