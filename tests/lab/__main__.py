# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab``: the lab at the command line. LAB_DIR, LAB_PORT_BASE and LAB_PROFILE name it."""

from __future__ import annotations

import argparse
import json
import sys
import typing as t

from lab import fleet, load, migration
from lab.layout import APPS
from lab.service import Service
from lab.whole import Lab, dump


def _up(lab: Lab, options: argparse.Namespace) -> int:
    missing = lab.missing()
    if options.check:
        print("\n".join([f"would start: {', '.join(missing)}", "changed"] if missing else ["all of it runs"]))
        return 0
    seconds = lab.up(lambda line: print(line, file=sys.stderr))
    print(f"The lab is up after {seconds:.1f} s.\n{lab.describe()}")
    if missing:
        print("changed")
    return 0


def _down(lab: Lab, options: argparse.Namespace) -> int:
    was_made = lab.layout.is_made
    if not options.check:
        lab.down()
        print("The lab is down; nothing of it is left.")
    if was_made:
        print("changed")
    return 0


def _reset(lab: Lab, _options: argparse.Namespace) -> int:
    print(f"The lab is as new after {lab.reset():.1f} s.")
    return 0


def _status(lab: Lab, _options: argparse.Namespace) -> int:
    parts = lab.status()
    print(dump(parts))
    return 3 if lab.missing() else 0


def _load(lab: Lab, options: argparse.Namespace) -> int:
    if options.verb == "report":
        print(json.dumps(load.report(lab.layout)))
        return 0
    was_running = load.report(lab.layout)["running"]
    if not options.check:
        {"start": load.start, "stop": load.stop}[options.verb](lab.layout)
    if was_running != (options.verb == "start"):
        print("changed")
    return 0


def _app(lab: Lab, options: argparse.Namespace) -> int:
    for name in options.hosts or APPS:
        service: t.Any = Service(lab.layout.host(name))
        if options.verb == "kill":
            service.process.kill()
        elif options.verb == "status":
            print(json.dumps(service.status()))
        else:
            getattr(service, options.verb)()
    return 0


def _fault(lab: Lab, options: argparse.Namespace) -> int:
    for name in options.hosts.split(",") if options.hosts != "all" else APPS:
        lab.fleet.set_faults(name, **_pairs(options.switch))
    return 0


def _artifact(lab: Lab, options: argparse.Namespace) -> int:
    entry = fleet.release(options.version, _pairs(options.fault), not options.unmarked)
    print(fleet.build(lab.layout.artifacts, entry))
    return 0


def _migrate(lab: Lab, options: argparse.Namespace) -> int:
    return migration.migrate(lab, options.words)


def _pairs(words: t.Sequence[str]) -> dict[str, t.Any]:
    """``name=value`` words; a value is JSON where it can be, else text."""
    pairs: dict[str, t.Any] = {}
    for word in words:
        name, _equals, text = word.partition("=")
        try:
            pairs[name] = json.loads(text)
        except ValueError:
            pairs[name] = text
    return pairs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, act, text in (
        ("up", _up, "bring the lab up, or heal it"),
        ("heal", _up, "the same"),
        ("down", _down, "end it and leave nothing"),
        ("reset", _reset, "rows, releases, logs and bucket as at the beginning"),
        ("status", _status, "what runs, as JSON; 0 when everything does"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("--check", action="store_true", help="only say what would change")
        one.set_defaults(act=act)
    one = commands.add_parser("migrate", help="the whole runbook with users online, and what came of it")
    one.add_argument("words", nargs="*", help="more words for ansible-playbook, after --")
    one.set_defaults(act=_migrate)
    one = commands.add_parser("load", help="the users: start, stop, report")
    one.add_argument("verb", choices=["start", "stop", "report"])
    one.add_argument("--check", action="store_true", help="only say what would change")
    one.set_defaults(act=_load)
    one = commands.add_parser("app", help="the application servers; kill is a crash")
    one.add_argument("verb", choices=["start", "stop", "restart", "kill", "status"])
    one.add_argument("hosts", nargs="*", help="app-1 … app-4; all without")
    one.set_defaults(act=_app)
    one = commands.add_parser(
        "fault", help="break an application: fault app-1 error_rate=0.1 'fail=[\"login\"]'"
    )
    one.add_argument("hosts", help="app-1,app-2 or all")
    one.add_argument("switch", nargs="*", help="name=value; without any, mend")
    one.set_defaults(act=_fault)
    one = commands.add_parser("artifact", help="build a release: artifact v2.0.1-bad --fault error_rate=0.1")
    one.add_argument("version")
    one.add_argument("--fault", action="append", default=[], help="name=value, built into the release")
    one.add_argument("--unmarked", action="store_true", help="sessions without the new release's mark")
    one.set_defaults(act=_artifact)
    return parser


def main() -> int:
    options = _parser().parse_args()
    try:
        result: int = options.act(Lab(), options)
    except (RuntimeError, TimeoutError, ValueError) as exc:
        print(f"lab: {exc}", file=sys.stderr)
        return 1
    return result


if __name__ == "__main__":
    sys.exit(main())
