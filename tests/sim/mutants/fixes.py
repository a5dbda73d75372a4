"""Faults that were found in the operator once, each of them brought back."""

from __future__ import annotations

from tests.sim.mutants.mutant import CORE, OPERATOR, within

FIXES = (
    *within(
        f"{OPERATOR}/kube/reflector.py",
        (
            "an object that cannot be read is left out",
            "        except Exception as error:\n            UNREADABLE",
            "        except RecursionError as error:\n            UNREADABLE",
        ),
        (
            "a watch outlives every error",
            "        except Exception as error:\n            # What was left",
            "        except Unreachable as error:\n            # What was left",
        ),
        (
            "there is a wait before each new watch",
            "return wait * self._random.uniform(0.5, 1.0)",
            "return 0.0",
        ),
        (
            "an answer to a write does not overwrite what the watch has shown since",
            "if key not in self._items and not _is_past(revision_of(obj), self._revision):",
            "if True:",
        ),
    ),
    *within(
        f"{OPERATOR}/kube/api_client.py",
        (
            "the body of an error may be cut off",
            '            with _as_unreachable(f"{method} {path}: {response.status}"):\n                data',
            "            if True:\n                data",
        ),
        (
            "nothing is written unless the Lease was just renewed",
            "            if not self._leads():",
            "            if False:",
        ),
        (
            "a 404 that names no object says nothing of it",
            " or (code == 404 and not named and _names_object(path)):",
            ":",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/controller.py",
        (
            "whoever becomes leader lists everything anew",
            "            watches.renew()",
            "            pass",
        ),
        (
            "a finalizer that is refused is asked for again",
            "        self._queue.add(key, REFUSED_WAIT)",
            "        return",
        ),
        (
            "what has ended is not opened again",
            "        return not asked and _shows_its_end(obj) and",
            "        return False and",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/run.py",
        (
            "a turn that fails unforeseen is said and tried again",
            "        except Exception as error:\n            self._close()",
            "        except StoreError as error:\n            self._close()",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/status_writer.py",
        (
            "a failure is shown over what was shown before, not in its place",
            "self._merge(bare, lambda found: {**bare, **found})",
            "self.write(bare)",
        ),
        (
            "a status that cannot be written now is written later",
            '        except KubetunaError as error:\n            log.warning("the status',
            '        except StopIteration as error:\n            log.warning("the status',
        ),
        (
            "a frozen writer's late status does not replace a newer one",
            "or not follows(wanted.status, found):",
            ":",
        ),
    ),
    *within(
        f"{OPERATOR}/experiment/trial_objects.py",
        (
            "one Trial object that is refused does not drop the others",
            "                taken = list(self._due.items())[:most]",
            "                taken, self._due = list(self._due.items())[:most], {}",
        ),
    ),
    *within(
        f"{OPERATOR}/pods/status.py",
        (
            "an annotation of ours may be any text",
            "    except ValueError:\n        return None\n    return found if",
            "    except OverflowError:\n        return None\n    return found if",
        ),
        (
            "who takes a Pod away is told from how it ended",
            'if condition.get("status") == "True" and condition.get("type") == "DisruptionTarget":',
            "if False:",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/failing.py",
        (
            "only the time with one obstacle counts",
            "since if what == pod.obstacle else now)",
            "since)",
        ),
        (
            "an obstacle counts from when it was seen",
            "what, since = before.get(pod.uid, (pod.obstacle, now))",
            "what, since = (pod.obstacle, pod.created or now)",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/executor.py",
        (
            "no Pod is gone before the API server was asked",
            "            self._look_for(key, now)",
            "            self._gone.add(key)",
        ),
        (
            "a stop that fails is no failure of the turn",
            '        except (Refused, Unreachable) as error:\n            log.warning("attempt not told to end',
            '        except StopIteration as error:\n            log.warning("attempt not told to end',
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/launches.py",
        (
            "of launches that are refused alike one asks for all",
            "            self._gate.shut(why, now, RETRY_SECONDS if final else RETRY_LIMIT)",
            "            return",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/members.py",
        (
            "a worker that someone deleted is no crash",
            "        if taken is not None and falls_with_one:",
            "        if False:",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/awaited.py",
        (
            "what is refused is asked for ever more rarely",
            "        return self.tried + wait_after(max(1, self.tries), RETRY_SECONDS, RETRY_LIMIT)",
            "        return self.tried",
        ),
        (
            "time in which nobody met an obstacle does not count",
            "self.stuck[1] > self.stuck[0] + patience",
            "now > self.stuck[0] + patience",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/ownership.py",
        (
            "a copied Pod is nobody's attempt",
            "return made and meant and params_hash in (None, pod.params_hash)",
            "return pod.owner == owner.uid",
        ),
    ),
    *within(
        f"{OPERATOR}/workloads/pod_logs.py",
        (
            "a log that could not be retrieved is not read to its end",
            "drained = whole and not page.unreadable",
            "drained = whole",
        ),
        (
            "the last read of a log is tried for long",
            "now <= (reading.ended or now) + (FINAL_PATIENCE if well else OTHER_PATIENCE)",
            "now <= now",
        ),
        (
            "patience counts from the end, not from the start",
            "(reading.ended or now) + (FINAL_PATIENCE",
            "(pod.started or now) + 0.01 * (FINAL_PATIENCE",
        ),
    ),
    *within(
        f"{CORE}/trials/outcome.py",
        (
            "a value whose log could not be read to its end is not told",
            "and self.announced is None and not self.lost",
            "and self.announced is None",
        ),
    ),
    *within(
        f"{CORE}/trials/end_times.py",
        (
            "the first sight of an end is its time",
            "if first is None or uid != facts.uid:",
            "if True:",
        ),
    ),
    *within(
        f"{CORE}/planning/plan.py",
        (
            "a stop is sent until it is seen to be done",
            "return attempt.stop_sent is None or now >= attempt.stop_sent + RESEND_SECONDS",
            "return attempt.stop_sent is None",
        ),
        (
            "whom others displace is tried without end",
            "    unbounded = RUNNER_REASONS | DISPLACED_REASONS",
            "    unbounded = RUNNER_REASONS",
        ),
        (
            "once anything has started, a start that fails is the node's fault",
            "(snapshot.startable or _may_start_yet(trial, facts))",
            "False",
        ),
        (
            "a budget that is spent is no reason to look again",
            "return min(due for due in _deadlines(snapshot, now) if due > now)",
            "return max(now, min(_deadlines(snapshot, now)))",
        ),
    ),
    *within(
        f"{CORE}/trials/snapshot.py",
        (
            "what has ended spends nothing",
            "sum(facts.ended is None for facts, _ in self._counted())",
            "sum(1 for _ in self._counted())",
        ),
    ),
    *within(
        f"{CORE}/reconciling/reconciler.py",
        (
            "nothing is done on an old epoch",
            "                self.study.confirm()",
            "                pass",
        ),
    ),
)
