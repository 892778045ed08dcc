"""What each client is asked to do, what goes wrong meanwhile, and what counts as right."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.jobs import Job

TEXT = {
    "model": "wan-2-7-text-to-video",
    "prompt": "a gondola",
    "duration": "5s",
    "aspect_ratio": "16:9",
    "resolution": "720p",
}
IMAGE = {"model": "wan-2-7-image-to-video", "prompt": "the lion yawns", "duration": "5s", "resolution": "720p"}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}
UPSCALE = {"model": "topaz-video-upscale"}
OFFLINE = {**TEXT, "model": "ltx-2-19b-full-text-to-video"}
RETRY = {"retry-after": "1"}

#: What a driver is given where a case says nothing else.
NOTHING = dict.fromkeys(("model", "prompt", "duration", "aspect_ratio", "resolution", "image", "video", "queue_id"))


@dataclass
class Scene:
    """
    One case of one client.

    :param simulator: the API, with nothing in it.
    :param folder: an empty folder.
    :param sources: a folder with images and a clip to send.
    :param trusted: a file with the certificate to trust; ``True`` where the simulator speaks http.
    :param api_key: the key that the client is given.
    :param answer: what the driver printed.
    """

    simulator: VeniceSimulator
    folder: Path
    sources: Path
    trusted: str | bool
    api_key: str
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """Where the clip has to be stored."""
        return self.folder / "clip.mp4"

    @property
    def said(self) -> str:
        """All that the client said of an error."""
        return f"{self.answer.get('said', '')}\n{self.answer.get('fields', '')}"

    @property
    def charges(self) -> int:
        """How many clips were paid."""
        return len(self.simulator.journal.charges)

    def buy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue a job without the client, let it be done, and return what a client needs to download it."""
        job = self.ask("POST", "video/queue", request)
        self.simulator.finish()
        return {"model": job["model"], "queue_id": job["queue_id"]}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API without the client."""
        return self._send(method, f"{self.simulator.base_url}/{path}", body)

    def control(self, path: str, body: Any) -> None:
        """Ask the simulator's control."""
        self._send("POST", f"{self.simulator.control_url}/{path}", body)

    def _send(self, method: str, url: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.simulator.api_key}"}
        response = requests.request(method, url, json=body, headers=headers, timeout=20, verify=self.trusted)
        response.raise_for_status()
        return response.json()


#: What is wrong with an outcome; ``None`` where nothing is.
Problem = str | None
Check = Callable[[Scene], Problem]
Prepare = Callable[[Scene], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """
    One row of the table.

    :param name: the row's title.
    :param action: what the client's driver is asked to do.
    :param prepare: sets the scene and returns what the action is given.
    :param check: says what is wrong with the outcome.
    """

    name: str
    action: str
    prepare: Prepare
    check: Check


def wanted(request: dict[str, Any]) -> Prepare:
    """Ask for a clip."""
    return lambda _: request


def tagged(tag: str) -> dict[str, Any]:
    """Return a request that the simulator fails in the way that ``tag`` names."""
    return {**TEXT, "prompt": f"a gondola [simulate: {tag}]"}


def with_prompt(tag: str) -> Prepare:
    """Ask for such a clip."""
    return wanted(tagged(tag))


def failing(endpoint: str, **effects: Any) -> Prepare:
    """Ask for a clip while an endpoint fails once."""

    def prepare(scene: Scene) -> dict[str, Any]:
        scene.simulator.fail(endpoint, **effects)
        return TEXT

    return prepare


def bought(request: dict[str, Any]) -> Prepare:
    """Ask for a clip that is paid and done."""
    return lambda scene: scene.buy(request)


def from_image(suffix: str) -> Prepare:
    """Ask for a clip of an image."""
    return lambda scene: {**IMAGE, "image": str(scene.sources / f"lion{suffix}")}


def from_video(scene: Scene) -> dict[str, Any]:
    """Ask for a larger clip of a clip."""
    return {**UPSCALE, "video": str(scene.sources / "source.mp4")}


def with_wrong_key(scene: Scene) -> dict[str, Any]:
    """Ask for a clip with a key that the API does not know."""
    scene.api_key = "another-key"
    return TEXT


def without_balance(scene: Scene) -> dict[str, Any]:
    """Ask for a clip that the account cannot pay."""
    scene.control("settings", {"balance": 0})
    return TEXT


def lists_models(scene: Scene) -> Problem:
    """The models are those of the API."""
    listed = {model["id"] for model in scene.ask("GET", "models?type=video")["data"]}
    return None if set(scene.answer.get("value") or ()) == listed else "not the models of the API"


def names_the_price(scene: Scene) -> Problem:
    """The price is that of the API."""
    price = scene.ask("POST", "video/quote", TEXT)["quote"]
    return None if scene.answer.get("value") == price else "not the price of the API"


def stores_the_clip(scene: Scene) -> Problem:
    """One clip is paid, and it is stored whole."""
    if scene.charges != 1:
        return f"{scene.charges} clips paid"
    if scene.answer["outcome"] != "ok":
        return "the clip is paid and not stored" if not scene.output.exists() else "fails"
    return None if _is_whole(scene) else "the file is not the clip"


def stores_and_deletes(scene: Scene) -> Problem:
    """The clip is stored whole, and only then deleted."""
    problem = stores_the_clip(scene)
    if problem is None and not any(entry.deleted for entry in scene.simulator.journal):
        problem = "the clip is not deleted"
    if problem is None and scene.simulator.journal.unread_deletions:
        problem = "the clip is deleted before it is stored"
    return problem


def refused(*words: str) -> Check:
    """Nothing is paid, and the client says why: with one of ``words``."""

    def check(scene: Scene) -> Problem:
        if scene.charges:
            return f"{scene.charges} clips paid"
        return _says(scene, words)

    return check


def waits_or_says(*words: str) -> Check:
    """A rate limit is waited for, and one clip paid; or the client names it, and nothing is paid."""
    says = refused(*words)
    return lambda scene: paid_once(scene) if scene.answer["outcome"] == "ok" else says(scene)


def paid_once(scene: Scene) -> Problem:
    """Nothing is paid twice."""
    return None if scene.charges == 1 else f"{scene.charges} clips paid"


def stores_or_says(*words: str) -> Check:
    """The one clip that is paid is stored whole; or the client names what failed."""
    says = says_after_payment(*words)
    return lambda scene: stores_the_clip(scene) if scene.answer["outcome"] == "ok" else says(scene)


def says_after_payment(*words: str) -> Check:
    """One clip is paid, and the client says what is wrong: with one of ``words``."""
    return lambda scene: paid_once(scene) or _says(scene, words)


def _says(scene: Scene, words: tuple[str, ...]) -> Problem:
    if scene.answer["outcome"] == "ok":
        return "reports success"
    # A status is not part of a longer number, such as a port.
    missing = not any(re.search(rf"(?<!\d){re.escape(word)}(?!\d)", scene.said, re.IGNORECASE) for word in words)
    return f"does not say {' or '.join(words)}" if missing else None


def _is_whole(scene: Scene) -> bool:
    return scene.output.exists() and any(scene.output.read_bytes() == clip_of(job) for job in scene.simulator.jobs)


def clip_of(job: Job) -> bytes:
    """Return the bytes of a finished job's clip."""
    if job.media is None or not job.media.done():
        return b""
    clip = job.media.result()
    return b"".join(clip.chunks(0, clip.size))


CASES = (
    Case("List the video models", "models", wanted({}), lists_models),
    Case("Quote", "quote", wanted(TEXT), names_the_price),
    Case("Text to video", "make", wanted(TEXT), stores_the_clip),
    Case("Image to video, from a PNG file", "make", from_image(".png"), stores_the_clip),
    Case("Image to video, from a JPEG file", "make", from_image(".jpg"), stores_the_clip),
    Case("A private model", "make", wanted(PRIVATE), stores_the_clip),
    Case("Upscale a file", "make", from_video, stores_the_clip),
    Case("Download a finished clip by its id", "collect", bought(TEXT), stores_the_clip),
    Case("Download, then delete", "delete", bought(TEXT), stores_and_deletes),
    Case("Delete a private clip", "delete_private", wanted(PRIVATE), stores_and_deletes),
    Case("401, a wrong key", "submit", with_wrong_key, refused("401", "authentication failed")),
    Case("402, no balance", "submit", without_balance, refused("insufficient")),
    Case("409, consent is needed", "submit", with_prompt("consent"), refused("consent")),
    Case("409, the policy's text", "submit", with_prompt("consent"), refused("I accept the provider's terms")),
    Case("422, the prompt is refused", "submit", with_prompt("policy"), refused("content policy")),
    Case("422, the suggested prompt", "submit", with_prompt("policy"), refused("suggested_prompt")),
    Case("429 at the submission", "submit", with_prompt("busy"), waits_or_says("429", "rate limit")),
    Case("503, the model is offline", "submit", wanted(OFFLINE), refused("503", "offline")),
    Case("Lost answer to the submission", "submit", with_prompt("lost"), paid_once),
    Case("504 after the submission", "submit", failing("queue", status=504, act=True), paid_once),
    Case("429 at a poll", "make", failing("retrieve", status=429, headers=RETRY), stores_or_says("429", "rate limit")),
    Case("503 at two polls", "make", with_prompt("flaky"), stores_or_says("503")),
    Case("422 after payment, refunded", "collect", bought(tagged("refund")), says_after_payment("refunded")),
    Case("400 after payment, failed", "collect", bought(tagged("fail")), says_after_payment("generation failed")),
    Case("A transfer that is cut", "collect", bought(tagged("truncate")), stores_or_says("connection", "incomplete")),
)
