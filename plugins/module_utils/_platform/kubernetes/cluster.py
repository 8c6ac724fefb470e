# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One namespace of a cluster, asked through its API server; one that restarts is asked again for a while."""

from __future__ import annotations

import datetime
import json
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.rollout import Object

try:
    import urllib3
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
except ImportError as exc:  # the other platforms do without it
    MISSING: t.Optional[ImportError] = exc
else:
    MISSING = None

# What a module that reaches a cluster is told; doc fragment _cluster says what each means.
CLUSTER: t.Final[dict[str, t.Any]] = {
    "kubeconfig": {"type": "path", "default": ""},
    "context": {"type": "str", "default": ""},
    "namespace": {"type": "str", "default": "default"},
    "patience_seconds": {"type": "float", "default": 60},
}
_JSON_PATCH: t.Final = "application/json-patch+json"
_STRATEGIC: t.Final = "application/strategic-merge-patch+json"
# Too many requests, or a server that is not there for a moment.
_PASSING: t.Final = (0, 429, 500, 502, 503, 504)
_LOG_LINES: t.Final = 10
_ANSWER_SECONDS: t.Final = 10.0


class Cluster:
    """``kubeconfig`` and ``context`` as kubectl takes them; empty means what kubectl would take."""

    def __init__(
        self, kubeconfig: str, context: str, namespace: str, patience_seconds: float, is_check: bool = False
    ) -> None:
        if MISSING is not None:
            raise MigrationError(
                "reach",
                "the cluster",
                f"the Python package kubernetes cannot be imported ({MISSING})",
                "Install it on this host: pip install kubernetes",
            )
        settings = client.Configuration()
        # The patience is ours alone: the library's own tries would multiply it.
        settings.retries = False
        try:
            self._client = config.new_client_from_config(  # type: ignore[no-untyped-call]
                kubeconfig or None, context or None, client_configuration=settings
            )
        except (ConfigException, OSError) as exc:
            raise MigrationError(
                "read", kubeconfig or "the kubeconfig", str(exc).partition("\n")[0], "Name file and context"
            ) from None
        self._apps, self._core = client.AppsV1Api(self._client), client.CoreV1Api(self._client)
        self._batch = client.BatchV1Api(self._client)
        self.namespace = namespace
        self._patience = patience_seconds
        # The server's own dry run: admitted and defaulted as for real, and not kept.
        self._options: dict[str, t.Any] = {"dry_run": "All"} if is_check else {}
        # A server that takes a request and never answers must not be waited for without an end.
        seconds = min(_ANSWER_SECONDS, max(1.0, patience_seconds))
        self._asked: dict[str, t.Any] = {"_request_timeout": seconds}

    def deployment(self, name: str) -> Object:
        return self._plain(
            f"Deployment {name}",
            lambda: self._apps.read_namespaced_deployment(name, self.namespace, **self._asked),
        )

    def replica_sets(self, deployment: Object) -> list[Object]:
        return self._listed(
            "ReplicaSets",
            lambda selector: self._apps.list_namespaced_replica_set(
                self.namespace, label_selector=selector, **self._asked
            ),
            _selector(deployment),
        )

    def pods(self, deployment: Object, template_hash: str) -> list[Object]:
        selector = f"{_selector(deployment)},pod-template-hash={template_hash}"
        return self._listed("pods", self._ask_pods, selector)

    def change(self, name: str, patch: t.Any) -> Object:
        """A list is a JSON patch, with what must be so before it; anything else is merged."""
        kind = _JSON_PATCH if isinstance(patch, list) else _STRATEGIC
        return self._plain(
            f"Deployment {name}",
            lambda: self._apps.patch_namespaced_deployment(
                name, self.namespace, patch, _content_type=kind, **self._options, **self._asked
            ),
            "change",
        )

    def find(self, name: str) -> Object | None:
        """None where there is none of that name."""
        return self._found(lambda: self.deployment(name))

    def create(self, manifest: t.Any) -> Object:
        """The new one; the one that is there where an answer was lost and it was made after all."""
        name = str(manifest["metadata"]["name"])
        return self._made(
            f"Deployment {name}",
            lambda: self._apps.create_namespaced_deployment(
                self.namespace, manifest, **self._options, **self._asked
            ),
            lambda: self.deployment(name),
        )

    def delete(self, name: str) -> None:
        """With all that belongs to it. One that is gone already is as good."""
        self._found(
            lambda: self._plain(
                f"Deployment {name}",
                lambda: self._apps.delete_namespaced_deployment(
                    name, self.namespace, propagation_policy="Background", **self._options, **self._asked
                ),
                "delete",
            )
        )

    def job(self, name: str) -> Object | None:
        return self._found(lambda: self._job(name))

    def create_job(self, manifest: t.Any) -> Object:
        """As for a Deployment: of two who make the same one, the other finds it."""
        name = str(manifest["metadata"]["name"])
        return self._made(
            f"Job {name}",
            lambda: self._batch.create_namespaced_job(
                self.namespace, manifest, **self._options, **self._asked
            ),
            lambda: self._job(name),
        )

    def delete_job(self, name: str) -> None:
        """With its pods: its name is taken until they have ended, so that none is left beside another's."""
        self._found(
            lambda: self._plain(
                f"Job {name}",
                lambda: self._batch.delete_namespaced_job(
                    name, self.namespace, propagation_policy="Foreground", **self._options, **self._asked
                ),
                "delete",
            )
        )

    def pods_of_job(self, job: Object) -> list[Object]:
        return self._listed("pods", self._ask_pods, _selector(job))

    def _job(self, name: str) -> Object:
        return self._plain(
            f"Job {name}", lambda: self._batch.read_namespaced_job(name, self.namespace, **self._asked)
        )

    def _made(self, thing: str, make: t.Callable[[], t.Any], read: t.Callable[[], Object]) -> Object:
        try:
            return self._plain(thing, make, "create")
        except MigrationError as exc:
            if exc.facts.get("status") != 409:
                raise
            return read()

    @staticmethod
    def _found(ask: t.Callable[[], Object]) -> Object | None:
        try:
            return ask()
        except MigrationError as exc:
            if exc.facts.get("status") != 404:
                raise
            return None

    def until_leaving(self, name: str, deployment: Object) -> bool:
        """Wait until a Deployment that was deleted is gone, and each of its pods is gone or told to end.

        Such a pod gets no users any more, and has its grace period for those it has. False when patience
        is over.
        """
        deadline = time.monotonic() + self._patience
        while self.find(name) is not None or any(
            not pod["metadata"].get("deletionTimestamp")
            for pod in self._listed("pods", self._ask_pods, _selector(deployment))
        ):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.5)
        return True

    def _ask_pods(self, selector: str) -> t.Any:
        return self._core.list_namespaced_pod(self.namespace, label_selector=selector, **self._asked)

    def events(self, names: t.Sequence[str]) -> list[str]:
        """The latest warnings about these objects; silence where the server tells none."""
        try:
            found = self._listed(
                "events",
                lambda _selector: self._core.list_namespaced_event(self.namespace, **self._asked),
                "",
            )
        except MigrationError:
            return []
        rows = [one for one in found if (one.get("involvedObject") or {}).get("name") in names]
        rows = [one for one in rows if one.get("type") == "Warning"]
        return [f"{one['involvedObject']['name']}: {one.get('reason')} {one.get('message')}" for one in rows][
            -_LOG_LINES:
        ]

    def last_words(self, pod: str) -> str:
        """The end of a pod's log; of the container before, where that one has crashed."""
        for previous in (True, False):
            try:
                return str(
                    self._core.read_namespaced_pod_log(
                        pod, self.namespace, tail_lines=_LOG_LINES, previous=previous, _request_timeout=5
                    )
                ).strip()
            except (ApiException, urllib3.exceptions.HTTPError, OSError):
                continue
        return ""

    def _listed(self, what: str, ask: t.Callable[[str], t.Any], selector: str) -> list[Object]:
        found = self._plain(what, lambda: ask(selector))
        return list(found.get("items") or [])

    def _plain(self, thing: str, ask: t.Callable[[], t.Any], act: str = "read") -> Object:
        """The answer as the API spells it. What passes by itself is waited for, within the patience."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                found: Object = self._client.sanitize_for_serialization(ask())
                return found
            except ApiException as exc:
                if exc.status not in _PASSING or time.monotonic() >= deadline:
                    raise self._refused(act, thing, exc) from None
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                if time.monotonic() >= deadline:
                    cause = f"the API server does not answer ({type(exc).__name__})"
                    raise MigrationError(act, thing, cause, "See whether the cluster is up") from None
            time.sleep(0.5)

    def _refused(self, act: str, thing: str, exc: t.Any) -> MigrationError:
        cures = {
            401: "Renew the credentials of the kubeconfig",
            403: "Give it the rights that docs/kubernetes.md lists",
            404: f"Create it in namespace {self.namespace} first, or name the right one",
            409: "Somebody else changed it at the same moment. Give the command again",
            422: "See what the server says; where somebody else has just changed it, give the command again",
        }
        reason = f"{exc.status} {exc.reason}{_words(exc.body)}"
        return MigrationError(
            act, f"{thing} in {self.namespace}", reason, cures.get(exc.status, ""), status=exc.status
        )


def opened(params: t.Mapping[str, t.Any], is_check: bool) -> Cluster:
    """The cluster of a module's own options."""
    return Cluster(
        params["kubeconfig"], params["context"], params["namespace"], params["patience_seconds"], is_check
    )


def _words(body: t.Any) -> str:
    """The server's own sentence, where it has one."""
    try:
        return f": {json.loads(body)['message']}"
    except (TypeError, ValueError, KeyError):
        return ""


def _selector(deployment: Object) -> str:
    labels = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def age_seconds(thing: Object) -> float:
    """By the clocks of the server and of this host; a wrong one makes nothing older than it says."""
    made = datetime.datetime.fromisoformat(str(thing["metadata"]["creationTimestamp"]).replace("Z", "+00:00"))
    return max(0.0, (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds())
