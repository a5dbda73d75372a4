"""Mistakes in the handling of errors as people make them: a conflict swallowed, a retry missing, a look too old."""

from __future__ import annotations

from tests.sim.mutants.mutant import CORE, OPERATOR, within

MISTAKES = (
    *within(
        f"{OPERATOR}/kube/api_client.py",
        (
            "429 is tried again",
            "if code in (408, 429) or code >= 500 or",
            "if code >= 500 or",
        ),
        (
            "an error of the server's is tried again",
            "if code in (408, 429) or code >= 500 or",
            "if code in (408, 429) or",
        ),
        (
            "an answer that is cut off is none",
            '        with _as_unreachable(f"{method} {path}"):\n            return',
            "        if True:\n            return",
        ),
        (
            "to delete what is gone is no error",
            "            if error.code != 404 and (error.code != 409 or self.has(path, uid)):\n"
            "                raise",
            "            raise",
        ),
        (
            "a stream that breaks can be read again later",
            "            with _as_unreachable(path):\n                piece = next(pieces, None)",
            "            if True:\n                piece = next(pieces, None)",
        ),
    ),
    *within(
        f"{OPERATOR}/kube/leader.py",
        (
            "a Lease that cannot be asked for is asked for again",
            "        except (Refused, Unreachable):\n            return False",
            "        except Unreachable:\n            return False",
        ),
        (
            "a Lease is renewed where it is ours",
            '        if holder not in ("", self._identity) and not',
            '        if holder != "" and not',
        ),
        (
            "a Lease that nobody renews is taken over",
            "return self._clock() > self._seen[1] + DURATION or self._holder_is_gone(holder)",
            "return False",
        ),
    ),
    *within(
        f"{OPERATOR}/kube/work_queue.py",
        (
            "what fails is worked on again",
            "                self._wait_until(key, self._clock() + wait_after(count, FIRST_WAIT, LONGEST_WAIT))",
            "                pass",
        ),
        (
            "what fails is worked on later, not at once",
            "                self._wait_until(key, self._clock() + wait_after(count, FIRST_WAIT, LONGEST_WAIT))",
            "                self._put(key)",
        ),
        (
            "what changes during work is worked on once more",
            "            self._again.add(key)",
            "            pass",
        ),
    ),
    *within(
        f"{OPERATOR}/kube/deferred_writes.py",
        (
            "a deferred write that fails is kept",
            "                self._writes.setdefault(key, write)",
            "                pass",
        ),
        (
            "a deferred write that fails is tried again",
            "                self._writes.setdefault(key, write)\n            raise",
            "                self._writes.setdefault(key, write)",
        ),
    ),
    *within(
        f"{OPERATOR}/kube/reflector.py",
        (
            "a list takes away what is not there any more",
            "            for key in {**before, **found}:",
            "            for key in {**found}:",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/controller.py",
        (
            "a conflict over a finalizer is tried again",
            "            raise error\n",
            "            return\n",
        ),
        (
            "what ended goes on where its spec is edited",
            "            return known.generation >= _generation(obj)",
            "            return True",
        ),
        (
            "who lost a study to another operator leaves",
            "            self._queue.close()\n            self._fenced()",
            "            pass",
        ),
        (
            "a deletion stops the Pods first",
            "            run.delete()",
            "            pass",
        ),
        (
            "the finalizer is taken back at the end of a deletion",
            "            if deleted:\n                self._set_finalizers",
            "            if False:\n                self._set_finalizers",
        ),
        (
            "an edit begins another run",
            'or obj["metadata"]["generation"] == run.ref.generation',
            "or True",
        ),
        (
            "one writer shows the status of all generations",
            "writer = run.writer if run is not None else StatusWriter(",
            "writer = StatusWriter(",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/run.py",
        (
            "what failed is opened anew",
            "            self._close()\n            wait = self._failed(error)",
            "            wait = self._failed(error)",
        ),
        (
            "what fails is not tried again at once",
            "wait = early if early > 0 else self._turn()",
            "wait = self._turn()",
        ),
        (
            "what is done beside is waited for",
            "        if self.busy:\n            return None\n        beside",
            "        beside",
        ),
        (
            "the turn after an opening is asked for",
            "        self._beside.add_done_callback(lambda _: self._call())",
            "        return",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/status_writer.py",
        (
            "a status that was not written is kept",
            "                self._wanted = self._wanted or wanted\n",
            "",
        ),
        (
            "a status that met a conflict is written again",
            "            if error.code not in (404, 422):",
            "            if error.code not in (404, 409, 422):",
        ),
        (
            "a status is for one object, not for its name",
            'if metadata["uid"] != self._owner.uid or not follows',
            "if not follows",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/trial_objects.py",
        (
            "a Trial object that is refused is not taken for written",
            '            log.warning("Trial %s cannot be written: %s", name, error)\n            return False',
            '            log.warning("Trial %s cannot be written: %s", name, error)\n            return True',
        ),
        (
            "Trial objects that are refused are tried again",
            "        if self._due:\n            self._later(",
            "        if False:\n            self._later(",
        ),
        (
            "Trial objects of another Experiment are not taken for ours",
            'ours = any(one.get("uid") == owner.uid for one in owners)',
            "ours = bool(owners)",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/executor.py",
        (
            "a Pod without a node is deleted to stop it",
            "            if now.node is None:\n                self._removal",
            "            if False:\n                self._removal",
        ),
        (
            "a look that fails finds nothing out",
            "            self._look_at = now + RETRY_SECONDS\n",
            "            self._gone.add(key)\n",
        ),
        (
            "what a look finds is not gone",
            "        if seen.primary is None or seen.primary.uid in self._told:\n            self._gone",
            "        if True:\n            self._gone",
        ),
        (
            "trialTimeout ends what hangs",
            '            self.stop(pod.key, "DeadlineExceeded")',
            "            return",
        ),
        (
            "a Pod that was told is forgotten though it is still seen",
            "return self._makers.is_own(pod) and not pod.told and pod.uid not in self._told",
            "return self._makers.is_own(pod) and not pod.told",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/removal.py",
        (
            "a deletion is sent until it is seen",
            "        self._again(pod, self._remove, sent + 1)",
            "        pass",
        ),
        (
            "a mark is set until it is seen",
            "        self._again(pod, self._keep, sent + 1)",
            "        pass",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/makers.py",
        (
            "nothing of a stranger's is adopted",
            'return self._is_ours(found) and same and not metadata.get("deletionTimestamp")',
            "return True",
        ),
        (
            "a Pod that is being deleted is not adopted",
            'and same and not metadata.get("deletionTimestamp")',
            "and same",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/launches.py",
        (
            "a Pod that is there already is adopted",
            '            if error.code != 409 or error.reason != "AlreadyExists":\n                raise',
            "            raise",
        ),
        (
            "a launch without an answer is tried again",
            "            self._refuse(request, error.public, gated=True, unsure=True)",
            "            return",
        ),
        (
            "a launch that was refused is tried again",
            "            self._refuse(request, self._collection.explained(error), "
            "final=not _passes(error), gated=True)",
            "            return",
        ),
        (
            "a launch whose answer was lost is looked for before it counts as taken back",
            "            self._refuse(request, error.public, gated=True, unsure=True)",
            "            self._refuse(request, error.public, gated=True)",
        ),
    ),
    *within(
        f"{OPERATOR}/katib/controller.py",
        (
            "an edit of one of Katib's is translated anew",
            "        if done.translated is None or done.translated[0] != spec:",
            "        if done.translated is None:",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/pod_logs.py",
        (
            "what was read while the Pod ran is not its end",
            "result = self._readers.submit(self._fetch, pod, cursor, ended)",
            "result = self._readers.submit(self._fetch, pod, cursor, True)",
        ),
        (
            "a read that fails is not the end of a log",
            '            self._budget.note(pod.node or "", answers=False)\n        return LogChunk((), cursor)',
            '            self._budget.note(pod.node or "", answers=False)\n'
            "        return LogChunk((), cursor, drained=ended)",
        ),
        (
            "a log that is gone is lost, not read",
            "            if ended and error.code == 404:\n                return _lost(pod, cursor)",
            "            if ended and error.code == 404:\n"
            "                return LogChunk((), cursor, drained=True)",
        ),
        (
            "lines from an old cursor are not taken twice",
            "        if flight.cursor != cursor:\n            return LogChunk((), cursor)\n",
            "",
        ),
        (
            "a read gives its place back",
            "            self._budget.give_back(*who)\n            last, ",
            "            last, ",
        ),
    ),
    *within(
        f"{OPERATOR}/pods/status.py",
        (
            "the end of a Pod that someone deleted is no crash",
            "    if reason is None and _ended_by_deletion(metadata, ended):",
            "    if False:",
        ),
        (
            "a silent node gets its time before its Pods count as lost",
            "now > pod.deleted + lost_after",
            "now > pod.created + lost_after",
        ),
    ),
    *within(
        f"{CORE}/reconciling/reconciler.py",
        (
            "nothing is done that could not be stored",
            "            self.ports.unavailable(error)\n            return False",
            "            self.ports.unavailable(error)\n            return True",
        ),
        (
            "what is done is stored before",
            "        if not self._make_durable(bool(effects)):",
            "        self._act(effects)\n        if not self._make_durable(bool(effects)):",
        ),
        (
            "an experiment ends only once its last word is stored",
            "if end is not None and not self.study.pending:",
            "if end is not None:",
        ),
    ),
    *within(
        f"{CORE}/reconciling/observer.py",
        (
            "what is not seen is not gone",
            '            phase: AttemptPhase = "running" if end is None else "ended"',
            '            phase: AttemptPhase = "ended"',
        ),
        (
            "lines of an earlier attempt do not count any more",
            "        log.turn_to(key.attempt, key.repeat, facts.uid)",
            "        log.turn_to(0, key.repeat, facts.uid)",
        ),
    ),
    *within(
        f"{CORE}/planning/plan.py",
        (
            "no trial is told before its log is read",
            "if attempt.drained and not trial.unreported:",
            "if not trial.unreported:",
        ),
        (
            "earlier attempts are deleted",
            "        if old.facts is not None:\n            yield Delete(_key(trial, old))",
            "        pass",
        ),
        (
            "what the infrastructure broke is run again",
            'return facts.reason in unbounded or _count(trial, "free", unbounded) < FREE_RETRIES',
            "return False",
        ),
        (
            "no trial is told while something is there that may yet start it",
            "        if attempt.absent:\n            yield Tell(trial.number, cut)",
            "        yield Tell(trial.number, cut)",
        ),
        (
            "a launch that was lost in a crash is made again",
            "    elif not snapshot.spec.suspend:\n        yield LaunchAttempt(_key(trial, attempt))",
            "",
        ),
    ),
    *within(
        f"{CORE}/store/journal.py",
        (
            "every transaction checks the epoch",
            "        check_epoch(connection, study)\n",
            "",
        ),
        (
            "a batch whose commit may have happened is written again",
            "        if number not in present\n",
            "",
        ),
    ),
    *within(
        f"{CORE}/store/storage.py",
        (
            "what could not be written is kept",
            "            write(self._engine, self._study, self._memory, self._changes, self._ids)\n"
            "            self._changes = Changes()",
            "            changes, self._changes = self._changes, Changes()\n"
            "            write(self._engine, self._study, self._memory, changes, self._ids)",
        ),
    ),
    *within(
        f"{CORE}/store/fencing.py",
        (
            "who opens a study raises its epoch",
            'epoch = int(system.get(EPOCH, {}).get("number", 0)) + 1',
            'epoch = int(system.get(EPOCH, {}).get("number", 1))',
        ),
    ),
)
