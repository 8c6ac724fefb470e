# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of alerting rules for Prometheus; whom a label calls is Alertmanager's to know."""

from __future__ import annotations

import json
import os
import tempfile
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import monitors

_MARK: t.Final = "# Kept by emailai.migration; changes are overwritten."
# The whole file is one thing: either it holds these rules or it does not.
_FILE: t.Final = "rules"
_SELECTORS: t.Final = {"queries": '{query="Organization"}'}


class Prometheus:
    def __init__(self, description: t.Mapping[str, t.Any], wanted: t.Sequence[monitors.Monitor]) -> None:
        self._path = str(description["path"])
        self._labels = {kind: str(description.get(kind) or kind) for kind in (monitors.PAGE, monitors.TELL)}
        self._queries = dict(description.get("queries") or {})
        self.wanted = {_FILE: {"text": self._text(wanted)}} if wanted else {}

    def _text(self, wanted: t.Sequence[monitors.Monitor]) -> str:
        lines = [_MARK, "groups:", "  - name: emailai_migration", "    rules:"]
        for one in wanted:
            expression = f"{self._queries.get(one.name) or _query(one)} > {one.limit}"
            lines += [
                f"      - alert: EmailAI_{one.name}",
                # As JSON a text is YAML too, whatever quotes are in it.
                f"        expr: {json.dumps(expression)}",
                f"        labels: {{severity: {json.dumps(self._labels[one.calls])}}}",
                f"        annotations: {{summary: {json.dumps(monitors.sentence(one))}}}",
            ]
        return "\n".join(lines) + "\n"

    def read(self) -> list[monitors.Found]:
        try:
            with open(self._path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as exc:
            raise self._refusal("read", f"{type(exc).__name__}: {exc}") from None
        if not text.startswith(_MARK):
            raise self._refusal("use", "somebody else keeps rules in it", "Give path a file of its own")
        return [monitors.Found(_FILE, self._path, {"text": text})]

    def act(self, step: monitors.Step) -> None:
        try:
            if step.act == "remove":
                os.unlink(self._path)
            else:
                self._write(self.wanted[step.name]["text"])
        except OSError as exc:
            raise self._refusal("write", f"{type(exc).__name__}: {exc}") from None

    def _write(self, text: str) -> None:
        """Whole or not at all: Prometheus may read at any moment."""
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=os.path.dirname(self._path) or ".", prefix=".emailai-", delete=False
        ) as draft:
            draft.write(text)
        # Prometheus runs as a user of its own.
        os.chmod(draft.name, 0o644)
        os.replace(draft.name, self._path)

    def _refusal(self, act: str, cause: str, cure: str = "") -> MigrationError:
        return MigrationError(act, f"the rules of Prometheus in {self._path}", cause, cure, kind="gate")


def _query(one: monitors.Monitor) -> str:
    series = one.measure.replace(".", "_")
    selector = _SELECTORS.get(one.name, "")
    if one.is_count:
        return f"sum(increase({series}_total{selector}[{one.minutes}m]))"
    return f"max(avg_over_time({series}{selector}[{one.minutes}m]))"
