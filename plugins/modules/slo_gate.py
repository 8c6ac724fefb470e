# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slo_gate
short_description: Watch a service and say whether a release may go on
description:
  - Reads error rates, response times, logs and the state of the database for a while, and answers with one of
    three verdicts, V(pass), V(breach) or V(inconclusive), and with the action that follows.
  - More than 5 % of failed requests are proven by a sequential test within a handful of requests and end the
    watch at once. Anything weaker has to show in several windows.
  - What cannot be read is not zero. A provider that is dead makes the verdict V(inconclusive), which holds
    the rollout; it does not roll back.
  - A breach is an answer, not a failure of the task, except with O(state=passed).
  - The action plugin of the same name does the watching and prints a line at least every five seconds.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  state:
    description:
      - V(soaked) watches and judges.
      - V(baseline) watches without judging and returns figures to compare with later.
      - V(checked) asks each provider once and returns readiness lines.
      - V(judged) looks at nothing; it adds O(complaints) or O(integrity) to O(judgement) and judges again.
      - V(passed) looks at nothing; it fails if O(judgement) does not let a rollout go on.
    type: str
    choices: [soaked, baseline, checked, judged, passed]
    default: soaked
  providers:
    description: Where the figures come from. All are asked at the same time.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description:
          - V(haproxy) reads counters of requests and errors from HAProxy's statistics socket.
          - V(access_log) reads errors and response times from a log with one line a request.
          - V(error_log) looks for fatal errors and lost database connections in an application's log.
          - V(postgres) reads connections and queries, and proves with its own connection that there is one.
          - V(sentry) reads failed requests and response times from Sentry, or errors alone.
          - V(datadog) reads requests, errors and response times by metric queries of Datadog.
          - V(prometheus) reads them by queries of Prometheus.
          - V(http_json) reads them from numbers in any JSON.
          - V(vercel) listens to the runtime log of a deployment, which tells failed requests and no times.
          - V(sentry), V(datadog), V(prometheus) and V(http_json) are asked once for each window, as soon as
            it is closed and O(providers[].lag_seconds) have passed.
        type: str
        required: true
        choices: [haproxy, access_log, error_log, postgres, sentry, datadog, prometheus, http_json, vercel]
      name:
        description: A name of its own. Not set means its kind.
        type: str
      host:
        description: The host of the inventory on which it is read. Not set means the host of the task.
        type: str
      lag_seconds:
        description:
          - How late its figures are. The watch lasts longer by the longest lag of all.
          - Not set means 90 for V(sentry), 60 for V(datadog), 30 for V(prometheus) and 0 for any other.
        type: float
      socket:
        description: The statistics socket of HAProxy, a path or C(host:port). For V(haproxy).
        type: str
      backend:
        description: The backend whose servers are watched. For V(haproxy).
        type: str
      path:
        description: The log. For V(access_log) and V(error_log).
        type: path
      delimiter:
        description: What stands between two words of a line. For V(access_log).
        type: str
        default: " "
      columns:
        description:
          - The names of the words in their order. For V(access_log).
          - An empty list means that each word says its own name, as in C(status=200).
        type: list
        elements: str
        default: []
      names:
        description:
          - Under which name the log has what is needed, where it differs from
            C(at=ts), C(server=server), C(status=status), C(ms=ms), C(method=method), C(path=path).
            For V(access_log).
          - How the balancer names a server that O(providers[].server_label) names otherwise. For V(sentry),
            V(datadog) and V(prometheus).
        type: dict
        default: {}
      time:
        description:
          - How the log writes the time of a request. For V(access_log).
          - It should be the time at which the request ended. HAProxy writes it as C(%[date(0,ms)]);
            its C(%Ts%ms) is the end of the request before on the same connection.
        type: str
        choices: [epoch_ms, epoch, iso]
        default: epoch_ms
      duration:
        description:
          - The unit of the response time. Not set means V(ms) for V(access_log).
          - Must be set with O(providers[].p95).
        type: str
        choices: [ms, s]
      counted:
        description:
          - Requests to count apart. Not set means failed logins at C(/api/login) and failed webhooks at
            C(/api/webhooks/). For V(access_log).
        type: list
        elements: dict
        suboptions:
          trigger:
            description: What they are counted as, V(failed_logins) or V(billing).
            type: str
            required: true
          path:
            description: How the path of such a request begins.
            type: str
            required: true
          from_status:
            description: The lowest status that is counted.
            type: int
            default: 400
          to_status:
            description: The highest status that is counted.
            type: int
            default: 599
      server:
        description: Whose log it is, for V(error_log); whose figures they are, for V(http_json).
        type: str
      url:
        description:
          - Where the source is asked. Not set means C(https://sentry.io) for V(sentry) and
            C(https://api.datadoghq.com) for V(datadog), C(https://api.vercel.com) for V(vercel).
          - Without a path for V(sentry), V(datadog) and V(prometheus), the whole address for V(http_json).
          - With C($since) and C($until) in it, which become seconds since 1970, V(http_json) is asked about
            windows. Without, its counters only grow, and what they grew by from look to look is counted.
          - A key is sent by C(https) only, or to this machine itself.
        type: str
      token:
        description:
          - A bearer token, for V(sentry), V(prometheus), V(http_json) and V(vercel). Sentry's needs
            C(event:read).
        type: str
      token_header:
        description: The header that the token is sent in. Only C(Authorization) puts C(Bearer) before it.
        type: str
        default: Authorization
      api_key:
        description: For V(datadog).
        type: str
      application_key:
        description: For V(datadog). It needs the permission C(timeseries_query).
        type: str
      headers:
        description: More headers, as C(X-Scope-OrgID). They are shown in logs, so none may be a secret.
        type: dict
        default: {}
      timeout_seconds:
        description:
          - What one look at a source that is asked over HTTP may take. V(vercel) listens for half of it.
        type: float
        default: 10
      validate_certs:
        description: Whether its certificate is verified.
        type: bool
        default: true
      requests:
        description:
          - What counts the requests of a window. A query in which C($window) stands for its length, for
            V(prometheus); a metric query with C(as_count), for V(datadog); the path to the number, as
            C(app.requests), for V(http_json).
        type: str
      errors:
        description: The same for the requests that failed.
        type: str
      p95:
        description: The same for the 95th percentile of the response times. Needs O(providers[].duration).
        type: str
      errors_may_be_absent:
        description:
          - That no number of errors means that there were none, while there is one of requests.
          - Prove first that the query gives a number where there are errors; a misspelt one never does.
        type: bool
        default: false
      server_label:
        description:
          - The label (V(prometheus)), tag (V(datadog)) or field (V(sentry)) by which series are told apart.
            Its value names the server.
          - Not set means that the figures are those of the whole service; more than one series is an error.
        type: str
      organization:
        description: The organization's short name. For V(sentry).
        type: str
      projects:
        description: Numbers of projects; an empty list means those of the token's owner. For V(sentry).
        type: list
        elements: str
        default: []
      environment:
        description: For V(sentry).
        type: str
      query:
        description: What the events must match besides, as C(release:v2.0.0). For V(sentry).
        type: str
        default: ""
      dataset:
        description:
          - Which events are read. For V(sentry).
          - V(spans) and V(transactions) are requests, with the share that failed and response times.
          - V(errors) are errors alone, held against the requests of O(providers[].requests_of).
        type: str
        choices: [spans, transactions, errors]
        default: spans
      requests_of:
        description: The name of another provider that counts requests. For O(providers[].dataset=errors).
        type: str
      project:
        description: The project, by its name or its id. For V(vercel).
        type: str
      deployment:
        description:
          - The id of the deployment whose log is read. For V(vercel).
          - Not set means the canary of a rolling release that is under way, else what has production.
        type: str
      team_id:
        description: The team that owns the project, by its id. For V(vercel).
        type: str
      team_slug:
        description: The team that owns the project, by the name in its address. For V(vercel).
        type: str
      login_host:
        description: Host name, address or socket folder of the database server. For V(postgres).
        type: str
      login_port:
        description: TCP port of the database server. For V(postgres).
        type: int
      login_user:
        description:
          - Role to log in as. It needs C(pg_read_all_stats) to see the queries of others.
          - For V(prometheus) and V(http_json) a user's name, sent with O(providers[].login_password).
        type: str
      login_password:
        description: Password of the role or user.
        type: str
      login_db:
        description: Database to watch. Wins over the one in the URL.
        type: str
      login_url:
        description: The database as the application writes it.
        type: str
      ssl_mode:
        description: TLS mode as libpq knows it.
        type: str
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
      ca_cert:
        description: Path of a file with the certificate authorities to trust.
        type: path
  members:
    description: The servers with the new release, as the balancer names them. An empty list means all.
    type: list
    elements: str
    default: []
  others:
    description: The servers not yet updated. They are compared with in the same windows.
    type: list
    elements: str
    default: []
  soak_seconds:
    description:
      - How long to watch. A breach ends it at once; while the verdict is not clear it is extended, by
        three times its length at most.
    type: float
    default: 300
  since:
    description: When the watch began, in seconds since 1970. Not set means now. Logs are read from there.
    type: float
  figures_from:
    description:
      - V(history) takes a baseline from the last O(soak_seconds) of the access log and does not wait.
    type: str
    choices: [now, history]
    default: now
  window_seconds:
    description: The length of a window.
    type: int
    default: 60
  poll_seconds:
    description: The time between two looks.
    type: float
    default: 2
  minimum_requests:
    description: Fewer requests than this are no ground for V(pass), or for a baseline.
    type: int
    default: 100
  limits:
    description:
      - Limits that differ from the runbook's. In percent of requests C(error_percent_roll_back) (5),
        C(error_percent_ask) (2), C(error_percent_hold) (1). How often a test may be wrong about them
        C(hard_false_alarm) (0.001) for the first and C(soft_false_alarm) (0.0001) for the others.
      - For response times C(p95_ms) (500, 0 switches it off), C(slower_percent) (50) and
        C(slower_floor_ms) (50).
      - For windows C(windows_over) (3), C(windows_of) (5), C(window_requests) (20), C(extensions) (3).
      - For the database C(connection_failures) (3) within C(connection_failures_seconds) (60), and
        C(connections_percent) (80) of the connections in use.
      - For people C(complaints) (3).
      - For the runbook's alerts C(alerts_hold) (false), C(alert_errors_per_minute) (10), C(alert_query_ms)
        (100), C(alert_failed_logins) (5) within C(alert_failed_logins_seconds) (300).
    type: dict
    default: {}
  baseline:
    description: RV(baseline) of an earlier call with O(state=baseline), to compare response times with.
    type: dict
    default: {}
  fatal_patterns:
    description: Words that no line of a healthy application's log has. Words in capitals are meant so.
    type: list
    elements: str
    default: [FATAL, out of memory, unhandled]
  connection_patterns:
    description: Words by which an application's log tells that it lost the database.
    type: list
    elements: str
    default:
      - Can't reach database server
      - Timed out fetching a new connection from the connection pool
      - too many clients
      - remaining connection slots
      - "connection to server at"
      - Connection terminated unexpectedly
  queries_of:
    description: The queries whose text holds this word are watched.
    type: str
    default: Organization
  attended:
    description: Somebody is there to be asked. V(ask) is then returned as it is.
    type: bool
    default: false
  unattended_action:
    description:
      - What to do instead of asking, V(roll_back) or V(hold), by trigger.
      - Triggers not named are held, except C(error_rate_2_to_5), which is rolled back.
    type: dict
    default: {}
  complaints:
    description:
      - How many users complained, for O(state=judged).
      - Not set means that nobody has said, which is V(inconclusive), unless O(integrity) is set.
    type: int
  integrity:
    description:
      - What M(emailai.migration.org_integrity) returned for each database, for O(state=judged). The name of
        the database is taken from C(item), as a loop registers it.
      - A check that failed is a breach. One that cannot be answered is V(inconclusive), and so is an answer
        without checks. Findings are not judged, for they do not come from a release.
    type: list
    elements: dict
  judgement:
    description: What an earlier call returned, for O(state=judged) and O(state=passed).
    type: dict
    default: {}
  positions:
    description: Where the last look at each provider ended. Set by the action plugin between two looks.
    type: dict
    default: {}
extends_documentation_fragment:
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details: Looks once, does not wait, and says what it would watch.
  diff_mode:
    support: none
  idempotent:
    support: full
    details: Reads only.
requirements:
  - psycopg2 >= 2.8, for providers of kind C(postgres)
"""

EXAMPLES = r"""
- name: Watch the canary for five minutes
  emailai.migration.slo_gate:
    providers:
      - {kind: haproxy, socket: /run/haproxy/admin.sock, backend: emailai}
      - {kind: access_log, path: /var/log/haproxy/access.log}
      - kind: prometheus
        url: https://prometheus.example.com
        token: "{{ vault_prometheus_token }}"
        requests: sum(increase(http_requests_total{job="emailai"}[$window]))
        errors: sum(increase(http_requests_total{job="emailai",code=~"5.."}[$window])) or vector(0)
    members: [app-1]
    others: [app-2, app-3, app-4]
    baseline: "{{ gate_baseline }}"
  register: gate

- name: Stop unless it passed
  emailai.migration.slo_gate:
    state: passed
    judgement: "{{ gate }}"

- name: Take figures of the untouched system from the last 15 minutes of the log
  emailai.migration.slo_gate:
    state: baseline
    figures_from: history
    soak_seconds: 900
    minimum_requests: 1000
    providers:
      - {kind: access_log, path: /var/log/haproxy/access.log}
"""

RETURN = r"""
verdict:
  description: V(pass), V(breach) or V(inconclusive).
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: str
  sample: breach
action:
  description: V(pass), V(hold), V(ask) or V(roll_back).
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: str
  sample: roll_back
trigger:
  description: The trigger behind the action, empty for V(pass).
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: str
  sample: error_rate_over_5
reasons:
  description: A sentence for each thing that stands against the release, the weightiest first.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: list
  elements: str
  sample: ["app-1 failed 6 of 6 requests (100.0 %, limit 5 %) by haproxy"]
findings:
  description: The same as data.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: list
  elements: dict
  sample:
    - {trigger: error_rate_over_5, reason: "app-1 failed 6 of 6 requests", provider: haproxy, server: app-1}
alerts:
  description: What the runbook's three alerts would have told people.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: list
  elements: str
  sample: ["haproxy: 12 errors a minute in window 1"]
elapsed_seconds:
  description: How long was watched.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: float
  sample: 3.2
providers:
  description: What each provider said, with the reason if it could not be read.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: dict
  sample:
    access_log: {kind: access_log, error: "", requests: 812, errors: 1, error_percent: 0.123, p95_ms: 43}
members:
  description: Figures of each watched server, by provider.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: dict
  sample: {app-1: {access_log: {requests: 812, errors: 1, error_percent: 0.123, p95_ms: 43}}}
others:
  description: Figures of each server of O(others), by provider.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: dict
  sample: {app-2: {access_log: {requests: 799, errors: 0, error_percent: 0.0, p95_ms: 41}}}
windows:
  description: Figures of all watched servers together, by window.
  returned: with O(state=soaked), O(state=baseline) and O(state=judged)
  type: list
  elements: dict
  sample: [{provider: access_log, window: 1, requests: 162, errors: 0, error_percent: 0.0, p95_ms: 42}]
baseline:
  description: Figures to give to a later call. C(is_sufficient) says whether there were enough requests.
  returned: when O(state=baseline)
  type: dict
  sample: {seconds: 900, requests: 4120, error_percent: 0.05, p95_ms: 41, is_sufficient: true, queries: []}
readiness:
  description: A line for each provider that answered or did not, or one for the baseline.
  returned: with O(state=checked) and O(state=baseline)
  type: list
  elements: dict
  sample:
    - {item: haproxy, kind: gate, required: answers, found: "4 servers", read_by: haproxy, state: met}
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._gate import limits, options, provider
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Look


def run(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """One look; the action plugin makes a watch of many."""
    now = time.time()
    history = params["soak_seconds"] if params["figures_from"] == "history" else 0
    look = Look(
        now=now,
        since=now - history if params["since"] is None else params["since"],
        window_seconds=params["window_seconds"],
        fatal_patterns=tuple(params["fatal_patterns"]),
        connection_patterns=tuple(params["connection_patterns"]),
        queries_of=params["queries_of"],
        connections_percent=limits.limits_from(params["limits"]).connections_percent,
    )
    readings = provider.look_at_all(params["providers"], params["positions"], look)
    return {
        "changed": False,
        "now": now,
        "since": look.since,
        "readings": [reading.packed() for reading in readings],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=options.ARGUMENTS, supports_check_mode=True)
    _answer.answer(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
