"""
Buying one clip, once.

In this order, so that a crash at any point leaves what the next try can go on from:

1. ``take_up``: what an earlier try has bought is taken up; what is in doubt is left to a person.
2. everything about the request is computed; what fails here has sent nothing.
3. the intent is stored (``Ledger.claim``). A crash after this line leaves a doubt.
4. the submission is sent. It is charged when Venice accepts it.
5. the job is stored. A crash before this line leaves a doubt, a crash after it a job to take up.
"""

from __future__ import annotations

import dataclasses
import time
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import tenacity

from airflow_provider_venice import observability
from airflow_provider_venice.api.fingerprint import fingerprint, same_request
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VeniceRequestError,
    VideoGenerationError,
)
from airflow_provider_venice.generation.clip_request import ClipRequest
from airflow_provider_venice.generation.fallbacks import admits_fallback
from airflow_provider_venice.generation.ledger import Entry, Ledger
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.generation.outcomes import describe_reasons

if TYPE_CHECKING:
    from airflow_provider_venice.api.charges import ChargeFinding
    from airflow_provider_venice.generation.delivery import Delivery
    from airflow_provider_venice.hooks.venice import VeniceHook


class NotNoted(VeniceError):
    """
    A clip was bought, and could not be noted.

    :param job: the job.
    :param cause: why.
    """

    def __init__(self, job: VideoJob, cause: Exception) -> None:
        super().__init__(
            f"{job} was bought, but could not be noted ({cause}). Do NOT clear this task: that would buy another. "
            + job.how_to_collect
        )
        self.job = job


class Submission:
    """
    One clip that a task buys, or has bought in an earlier try.

    :param wanted: what it is to be.
    :param options: what the task's arguments say.
    :param hook: sends.
    :param ledger: what the task remembers of it.
    :param log: the task's log.
    """

    def __init__(self, wanted: ClipRequest, options: RunOptions, hook: VeniceHook, ledger: Ledger, log: Any) -> None:
        self._wanted = wanted
        self._options = options
        self.venice_conn_id = options.venice_conn_id
        self._hook = hook
        self.ledger = ledger
        self._log = log
        #: The last entry that was read or written; in doubt, with what is not stored yet.
        self.entry: Entry | None = None
        self._stored: Entry | None = None

    @cached_property
    def delivery(self) -> Delivery | None:
        """
        What becomes of the clip: one for which a person has cleared the task replaces the one that is there.

        To be asked for once the clip is taken up; ``None`` where the task stores none.
        """
        delivery = self._options.delivery
        if delivery is not None and delivery.is_reused_unless_cleared(self._options.on_clear):
            return dataclasses.replace(delivery, existing="replace") if self.ledger.is_another_wanted() else delivery
        return delivery

    def note_reuse(self) -> None:
        """Remember that a clip that was there is the result, where a clear would ask for another one."""
        delivery = self._options.delivery
        if delivery is not None and delivery.is_reused_unless_cleared(self._options.on_clear):
            self.ledger.note_reuse()

    def identity_of(self, job: VideoJob) -> dict[str, Any]:
        """
        Return what says of which request a job is: ``fingerprint`` and ``media``, as a manifest has them.

        :param job: the job; nothing is known of one that this clip's last submission has not brought.
        """
        past = self.entry
        if past is None or past.job is None or past.job["queue_id"] != job.queue_id:
            return {}
        media = {} if past.media is None else {"media": dict(past.media)}
        return {"fingerprint": past.fingerprint, **media}

    def charged(self, price: Decimal) -> Decimal:
        """
        Return the US dollars that earlier submissions of this clip have cost.

        :param price: what one that nobody has priced counts for.
        """
        return Decimal(0) if self.entry is None else self.entry.charged(price)

    def read(self) -> Entry | None:
        """Return the last entry, as it is stored now."""
        self.entry = self._stored = self.ledger.read()
        return self.entry

    def take_up(self, *, announce: bool = True) -> VideoJob | None:
        """
        Return the clip that an earlier try has bought; ``None`` when one is to be bought.

        :param announce: whether to log that it is taken up.
        :raises VeniceAmbiguousSubmission: when an earlier try may have bought one. It is not reported yet.
        :raises VeniceError: when it has failed, and nobody has cleared the task since.
        """
        past = self.read()
        if past is None:
            return None
        cleared = self.ledger.was_cleared_since(past)
        if cleared == "unknown":
            self._log.info(
                "A task of this run was cleared since %s was submitted. Airflow does not say which; this is taken for "
                "a retry. If you have cleared this task, clear it once more",
                self._wanted,
            )
        falls_back = cleared != "yes" and self._recall_models(past)
        if past.job is None:
            if not falls_back:
                self._settle_intent(past, cleared=cleared == "yes")
            return None
        from airflow_provider_venice.hooks.private_links import decrypt_link

        job = decrypt_link(past.job)
        if falls_back or not self._is_wanted(past, job, cleared=cleared == "yes"):
            return None
        self._compare_request(past, job, cleared=cleared == "yes")
        settled = self.ledger.settled(dataclasses.replace(past, failure=None, reasons=None))
        if settled != past:
            self._write(settled)
        if announce:
            self._log.info(
                "Taking up %s, bought %s at %s; nothing is paid%s",
                job,
                past.price,
                past.sent,
                ". To buy another clip when the task is cleared, set on_clear='resubmit'" if cleared == "yes" else "",
            )
        return job

    def buy(self, request: VideoRequest, cost: Decimal | None, max_wait: float | None) -> VideoJob:
        """
        Submit the clip, with a note of it before and after.

        :param request: what to buy.
        :param cost: US dollars, ``None`` where that is not known.
        :param max_wait: longest wait for the rate limit, in seconds; ``None`` for the connection's setting.
        :raises VeniceAmbiguousSubmission: when it may have been bought, but the answer was lost.
        :raises VeniceError: when Venice refused; nothing was bought.
        """
        # Whatever can fail about the request fails here, where nothing was sent and nothing is in doubt.
        send = self._hook.prepare(request)
        described = request.describe()
        previous = self.entry
        keeps_media = self._options.delivery is not None and self._options.delivery.manifest
        intent = self.ledger.new_entry(
            fingerprint(request),
            request.model,
            previous,
            cost=None if cost is None else str(cost),
            media=send.media_digests if keeps_media else None,
            refused_models=self._wanted.models.before(request.model),
        )
        # Invariant: no submission leaves without a stored intent. A crash right after this line leaves an intent that
        # was never sent: a doubt that a person has to check, and no money lost.
        self.ledger.claim(intent)
        try:
            job = send(max_wait)
        except VeniceAmbiguousSubmission as error:
            self.entry = dataclasses.replace(intent, cause=str(error.__cause__ or error), ended_at=time.time())
            doubt = self.entry.doubt()
            doubt.can_heal = self._options.on_ambiguous != "fail"
            raise doubt from error
        except VeniceError as error:
            self.ledger.withdraw(previous)
            error.args = (f"{str(error).rstrip('.')}. Nothing was paid for it",)
            raise
        # Invariant: between the answer and this note stands nothing that can fail on a user's value. A crash right
        # here leaves a charged job whose id is gone: the next try finds the intent, and stops in doubt.
        return self._note(
            intent,
            dataclasses.replace(
                job,
                request=described,
                labels=request.labels,
                requested_model=intent.requested_model if intent.refused_models else None,
                refused_models=intent.refused_models or None,
            ),
        )

    def report_doubt(self) -> None:
        """Remember that a doubt was reported; a clear from here on is a person's answer to it."""
        if self.entry is not None and self.entry.is_doubt:
            is_first = not self.entry.doubt_reported
            reported = self.ledger.settled(dataclasses.replace(self.entry, doubt_reported=True))
            if reported != self._stored:
                self._write(reported)
            if is_first:
                observability.doubt_reported(self.entry.model)

    def note_finding(self, finding: ChargeFinding) -> None:
        """Remember what the usage history says of a doubt; a try that reads it there asks no more."""
        if self.entry is not None and self.entry.is_doubt:
            # Invariant: an answer is stored with the intent that it is about, before anything rests on it, and the next
            # intent takes the place of both. A crash before this line leaves a doubt that the next try asks about
            # again; a crash after it, one that is answered. In neither has anything been sent.
            self._write(dataclasses.replace(self.entry, finding=finding.to_dict()))

    def refused(self, request: VideoRequest, error: VeniceError) -> None:
        """Remember that Venice does not sell this clip, so that it is not asked again before the task is cleared."""
        said = {
            "failure": str(error),
            "reasons": describe_reasons(error),
            "admits_fallback": admits_fallback(error),
            "refused_models": self._wanted.models.before(request.model),
        }
        # Invariant: the refusal is noted before the next model is asked. A crash right here leaves a retry that goes on
        # with the next model; a crash before it asks this one again, which is free.
        self._write(self.ledger.new_entry(fingerprint(request), request.model, self.entry, **said))

    def failed(self, job: VideoJob, error: VideoGenerationError) -> str:
        """
        Remember that the vendor's job has failed: a retry must not wait for it again, nor buy another one unasked.

        :return: what that means for money, and what a clear will do.
        """
        past = self.entry
        if past is None or past.job is None or past.job["queue_id"] != job.queue_id:
            return ""
        refunded = error.credits_refunded is True
        said = dataclasses.replace(past, failure=str(error), reasons=describe_reasons(error))
        said = dataclasses.replace(said, refunded=refunded, costs_nothing=error.costs_nothing)
        self._write(dataclasses.replace(said, admits_fallback=admits_fallback(error)))
        observability.clip_failed(past.model, past.cost, refunded=refunded)
        return self._consequence()

    def _consequence(self) -> str:
        """Return what a failed job has cost, and what a clear of the task will do."""
        past = self.entry
        assert past is not None
        if past.refunded:
            return ". Nothing was paid for it"
        price = "at the price of that moment" if past.cost is None else f"for about {dollars(Decimal(past.cost))}"
        return (
            f". It was bought {past.price}, and Venice has not said that the charge came back. A clear of the task "
            f"asks Venice once more and, if the clip has failed indeed, buys another one {price}; max_cost counts both"
        )

    def _recall_models(self, past: Entry) -> bool:
        """
        Take over which models have refused the clip; return whether the entry's failure leads to one that is left.

        Where the request has changed since, they have refused another one.
        """
        if not past.refused_by_now or self._is_same(past) is False:
            return False
        is_known = past.model in self._wanted.models.refused
        following = self._wanted.models.recall(self._wanted.asked, past.refused_by_now)
        if past.failure is None or not past.admits_fallback or following is None:
            return False
        if not is_known:
            self._wanted.log_fallback(past.model, past.failure, following)
        return True

    def _settle_intent(self, past: Entry, *, cleared: bool) -> None:
        """
        Return only if the clip is to be submitted, or submitted again.

        :raises VeniceAmbiguousSubmission: when nobody who knew of the doubt has cleared the task.
        :raises VeniceError: when Venice has refused this very request, and nobody has cleared the task.
        """
        if past.failure is not None:
            if not cleared and self._is_same(past) is not False:
                raise VeniceError(
                    f"{past.failure}. It is asked for again when the request changes, or the task is cleared"
                )
            return
        if self._options.on_ambiguous == "check" and past.is_not_charged:
            self._log.warning(
                "The submission of %s, %s, was not charged, as the account's usage history shows. %s may be submitted "
                "again: on_ambiguous='check'",
                past.sent,
                past.price,
                self._wanted,
            )
            return
        if self._options.on_ambiguous != "resubmit" and not (cleared and past.doubt_reported):
            raise past.doubt()
        self._log.warning(
            "The submission of %s, %s, may have been accepted. %s may be submitted again all the same: %s",
            past.sent,
            past.price,
            self._wanted,
            "the task was cleared" if cleared else "on_ambiguous='resubmit'",
        )

    def _is_wanted(self, past: Entry, job: VideoJob, *, cleared: bool) -> bool:
        """
        Whether the job that was bought is to be taken up; else another one is bought.

        :raises VeniceError: when it has failed, was not refunded, and nobody has cleared the task.
        """
        resubmit = self._options.on_clear == "resubmit"
        if past.failure is None:
            if cleared and resubmit:
                self._log.warning("The task was cleared: another clip is bought beside %s, bought %s", job, past.price)
                if self._options.delivery is not None and self._options.delivery.existing == "reuse":
                    # Invariant: whoever asks for another clip is not given the old one. A crash right here leaves the
                    # entry of the old one, and the next try asks anew.
                    self.ledger.note_another_wanted()
            return not (cleared and resubmit)
        if not cleared and not past.costs_nothing:
            raise VeniceError(f"{past.failure.rstrip('.')}{self._consequence()}")
        if past.costs_nothing or resubmit or not self._is_there(job):
            self._log.warning("%s has ended without a video: another clip is bought", job)
            return False
        return True

    def _is_same(self, past: Entry) -> bool | None:
        """Whether the request is the one of an entry; ``None`` where that cannot be known."""
        try:
            asked = self._wanted.asked
            if asked.model == past.requested_model:
                # A fallback model was bought for the same request: what is compared is the rest.
                asked = dataclasses.replace(asked, model=past.model)
            return same_request(past.fingerprint, asked)
        except VeniceRequestError as error:
            self._log.warning("%s: %s", self, error)
            return False

    def _compare_request(self, past: Entry, job: VideoJob, *, cleared: bool) -> None:
        """
        Tell whether the request is still the one that the job was bought for.

        :raises VeniceRequestError: when a person has cleared the task with another request: the old clip
            under a new name would be as wrong as another bill that nobody wanted.
        """
        if self._is_same(past) is not False:
            return
        if cleared:
            raise VeniceRequestError(
                f"the request is not the one that {job} was bought for. Set on_clear='resubmit' to buy a clip for the "
                "new request, or restore the old one to take up what was bought"
            )
        self._log.warning("The request is not the one that %s was bought for; it is taken up all the same", job)

    def _is_there(self, job: VideoJob) -> bool:
        """Poll a job once more that was taken for ended: buying another one for it should not rest on old answers."""
        try:
            self._hook.poll(job)
        except VideoGenerationError as error:
            self._log.info("%s", error)
            return False
        return True

    def _write(self, entry: Entry) -> None:
        self.ledger.write(entry)
        self.entry = self._stored = entry

    def _note(self, intent: Entry, job: VideoJob) -> VideoJob:
        """Store the job that was just paid for, and return it with its price."""
        from airflow_provider_venice.hooks.private_links import encrypt_link

        cost = None if intent.cost is None else float(intent.cost)
        bought = dataclasses.replace(job, estimated_cost=cost)
        try:
            entry = dataclasses.replace(intent, job=encrypt_link(bought))
            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_exponential(max=10), reraise=True
            ):
                with attempt:
                    self._write(entry)
        except Exception as error:
            raise NotNoted(bought, error) from error
        finally:
            observability.clip_bought(intent.model, intent.cost, intent.sent_at)
        self._hook.announce(bought, self._wanted.name)
        return bought
