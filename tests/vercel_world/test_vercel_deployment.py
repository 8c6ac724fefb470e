# SPDX-License-Identifier: GPL-3.0-or-later
"""Module vercel_deployment against a stand-in: each act four times, each failure and each lost answer."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.modules import vercel_deployment
from vercel_world.stand_in import OLD, TEAM, TOKEN, StandIn

Result = dict[str, t.Any]


def call(stand: StandIn, state: str = "promoted", check: bool = False, **options: t.Any) -> Result:
    defaults: Result = {
        "token": TOKEN, "project": "emailai", "team_id": TEAM, "team_slug": "", "api_url": stand.url,
        "state": state, "release": "v2.0.0-orgs", "serving": "v1.9.0",
        "source": {"ref": "v2.0.0-orgs", "sha": ""},
        "deployment": "", "leaving": "", "domains": [], "rolling": "staged", "stage": 0,
        "timeout_seconds": 20.0, "validate_certs": True, "ca_cert": "",
    }  # fmt: skip
    return vercel_deployment.run({**defaults, **options}, check)


def back(stand: StandIn, check: bool = False, **options: t.Any) -> Result:
    return call(
        stand, "rolled_back", check, **{"release": "v1.9.0", "serving": "", "source": None, **options}
    )


def changes(stand: StandIn) -> list[t.Any]:
    return [(verb, path) for verb, path, _body in stand.seen if verb != "GET"]


def test_a_release_is_staged_promoted_and_taken_back_each_four_times(stand: StandIn) -> None:
    planned = call(stand, "staged", check=True)
    assert (planned["changed"], planned["plan"]) == (True, ["create a deployment of v2.0.0-orgs"])
    assert changes(stand) == []
    staged = call(stand, "staged")
    assert (staged["changed"], staged["is_current"], stand.production) == (True, False, OLD)
    for check in (True, False):
        assert not call(stand, "staged", check=check)["changed"]
    new = staged["deployment"]["id"]

    assert call(stand, check=True)["plan"] == [f"promote {new}"]
    assert stand.production == OLD
    done = call(stand)
    assert (done["changed"], done["is_current"]) == (True, True)
    assert (done["previous"], done["serving"]) == (OLD, new)
    assert set(stand.aliases.values()) == {new}
    for check in (True, False):
        again = call(stand, check=check)
        assert (again["changed"], again["is_current"], again["previous"]) == (False, True, OLD)

    assert back(stand, check=True)["plan"] == [f"return to {OLD}"]
    assert stand.production == new
    returned = back(stand)
    assert (returned["changed"], returned["serving"], stand.production) == (True, OLD, OLD)
    assert not returned["auto_assigns"]
    for check in (True, False):
        assert not back(stand, check=check)["changed"]
    assert len(stand.made()) == 1


def test_what_was_taken_back_is_promoted_again_without_a_build(stand: StandIn) -> None:
    call(stand)
    back(stand)
    assert not stand.project["autoAssignCustomDomains"]
    done = call(stand)
    assert (done["plan"], done["auto_assigns"]) == ([f"promote {stand.made()[0]['id']}"], True)
    assert len(stand.made()) == 1
    assert back(stand)["serving"] == OLD


def test_a_check_run_from_nothing_says_all_and_does_nothing(stand: StandIn) -> None:
    planned = call(stand, check=True)
    assert planned["plan"] == ["create a deployment of v2.0.0-orgs", "promote it"]
    assert "a new deployment" in planned["diff"]["after"]
    assert changes(stand) == []


def test_a_new_deployment_gets_no_users_before_it_is_promoted(stand: StandIn) -> None:
    call(stand, "staged", source={"ref": "", "sha": "abc123"})
    document = stand.sent("/v13/deployments")[0]
    assert document["autoAssignCustomDomains"] is False
    assert document["target"] == "production"
    assert document["gitSource"] == {"type": "github", "ref": "main", "sha": "abc123", "repoId": 4711}
    assert stand.production == OLD


def test_another_commit_of_the_same_release_is_not_taken_for_it(stand: StandIn) -> None:
    first = call(stand)["serving"]
    second = call(stand, source={"ref": "v2.0.0-orgs", "sha": "fix"})
    assert second["changed"]
    assert second["serving"] not in (first, OLD)
    # A release does not lead back to itself.
    assert back(stand)["serving"] == OLD


def test_a_release_without_a_source_is_found_or_refused(stand: StandIn) -> None:
    with pytest.raises(MigrationError, match="it has no deployment in this project"):
        call(stand, source=None)
    made = call(stand, "staged")["deployment"]["id"]
    assert call(stand, source=None)["serving"] == made


def test_a_deployment_that_is_given_is_promoted_and_left_again(stand: StandIn) -> None:
    stand.add("dpl_ci", "v2.0.0-orgs", had_users=False)
    done = call(stand, deployment="dpl_ci", source=None)
    assert (done["serving"], done["previous"], stand.made()) == ("dpl_ci", OLD, [])
    assert not back(stand, check=True)["changed"]
    assert back(stand, leaving="dpl_ci")["serving"] == OLD
    assert not back(stand, leaving="dpl_ci")["changed"]


def test_a_preview_is_built_anew_for_production_once(stand: StandIn) -> None:
    stand.add("dpl_preview", "v2.0.0-orgs", target=None)
    done = call(stand, deployment="dpl_preview", source=None)
    assert done["serving"] not in ("dpl_preview", OLD)
    assert stand.sent("/v13/deployments")[0]["deploymentId"] == "dpl_preview"
    assert not call(stand, deployment="dpl_preview", source=None)["changed"]
    assert len(stand.made()) == 1


def test_a_hotfix_in_between_is_what_is_gone_back_to(stand: StandIn) -> None:
    call(stand, "staged")
    stand.add("dpl_hotfix", "v1.9.0")
    stand._lead_to("dpl_hotfix")
    call(stand)
    assert back(stand)["serving"] == "dpl_hotfix"


def test_the_way_back_is_the_one_that_is_given(stand: StandIn) -> None:
    stand.add("dpl_older", "v1.9.0")
    call(stand)
    assert back(stand, deployment="dpl_older")["serving"] == "dpl_older"
    assert not back(stand, deployment="dpl_older")["changed"]


def test_what_was_never_touched_has_nothing_to_take_back(stand: StandIn) -> None:
    for check in (True, False):
        assert not back(stand, check=check)["changed"]
    assert changes(stand) == []


def test_a_domain_that_leads_elsewhere_by_intent_is_left_alone(stand: StandIn) -> None:
    stand.add("dpl_older", "v1.8.0")
    stand.aliases["emailai.vercel.app"] = "dpl_older"
    for check in (True, False):
        assert not back(stand, check=check)["changed"]
    assert call(stand, domains=["app.example.com"])["is_current"]


def test_domains_that_moved_in_part_are_all_led_back(stand: StandIn) -> None:
    new = call(stand, "staged")["deployment"]["id"]
    stand.aliases["emailai.vercel.app"] = new
    assert back(stand, check=True)["changed"]
    assert back(stand)["serving"] == OLD
    assert set(stand.aliases.values()) == {OLD}


def test_a_way_back_that_is_not_known_is_said(stand: StandIn) -> None:
    call(stand)
    stand.job = None
    with pytest.raises(MigrationError, match=r"nothing says what served before .* Give the id"):
        back(stand, release="v1.0")
    stand.deployments[OLD]["readyState"] = "DELETED"
    with pytest.raises(MigrationError, match="dpl_old is it was deleted"):
        back(stand)


# What is under way is stopped


def test_a_deployment_that_is_being_built_is_cancelled_and_no_other(stand: StandIn) -> None:
    stand.builds = [{"stuck": True}]
    stand.add("dpl_theirs", "v3", readyState="BUILDING", began=time.monotonic(), outcome={"stuck": True})
    with pytest.raises(MigrationError, match=r"Cannot finish deployment dpl_1: it is BUILDING after 1 s"):
        call(stand, timeout_seconds=1.0)
    assert call(stand, "cancelled", check=True)["plan"] == ["cancel dpl_1"]
    assert stand.deployments["dpl_1"]["readyState"] == "BUILDING"
    assert call(stand, "cancelled")["deployment"]["state"] == "CANCELED"
    for check in (True, False):
        assert not call(stand, "cancelled", check=check)["changed"]
    assert stand.deployments["dpl_theirs"]["readyState"] == "BUILDING"
    assert call(stand)["serving"] == "dpl_2"


def test_one_that_is_built_in_the_same_moment_is_no_failure(stand: StandIn) -> None:
    stand.builds = [{"stuck": True}]
    with pytest.raises(MigrationError):
        call(stand, "staged", timeout_seconds=0.7)
    ready = {"readyState": "READY"}
    stand.break_("done", "PATCH", "/cancel", first=lambda: stand.deployments["dpl_1"].update(ready))
    assert call(stand, "cancelled")["deployment"]["state"] == "READY"


def test_a_promotion_that_is_under_way_is_waited_for_before_the_way_back(stand: StandIn) -> None:
    new = call(stand, "staged")["deployment"]["id"]
    stand.job_seconds = 1.0
    stand.begin("promote", new)
    assert back(stand, check=True)["is_current"] is False
    assert back(stand)["serving"] == OLD
    assert stand.production == OLD
    assert stand.job is not None
    assert (stand.job["type"], stand.job["fromDeploymentId"]) == ("rollback", new)


def test_what_somebody_else_promotes_is_not_taken_back(stand: StandIn) -> None:
    stand.add("dpl_theirs", "v3")
    stand.job_seconds = 1.0
    stand.begin("promote", "dpl_theirs")
    assert not back(stand)["changed"]
    assert stand.production == "dpl_theirs"


def test_a_promotion_of_ours_that_is_under_way_is_followed_and_not_asked_for_again(stand: StandIn) -> None:
    new = call(stand, "staged")["deployment"]["id"]
    stand.begin("promote", new)
    assert call(stand)["serving"] == new
    assert stand.sent("/promote/") == []


def test_somebody_else_at_work_is_not_overtaken(stand: StandIn) -> None:
    stand.add("dpl_theirs", "v3")
    stand.jobs = ["stuck"]
    stand.begin("promote", "dpl_theirs")
    with pytest.raises(MigrationError, match=r"another alias job is at work, a promote to dpl_theirs\. Wait"):
        call(stand)
    assert changes(stand) == []
    call(stand, "staged")
    with pytest.raises(MigrationError, match="another alias job is still at work"):
        back(stand, timeout_seconds=1.0)


def test_somebody_who_begins_meanwhile_is_named(stand: StandIn) -> None:
    stand.add("dpl_theirs", "v3")
    stand.jobs = ["stuck"]
    call(stand, "staged")
    timer = threading.Timer(0.6, lambda: stand.begin("promote", "dpl_theirs"))
    timer.start()
    with pytest.raises(MigrationError, match="somebody else has begun a promote to dpl_theirs meanwhile"):
        call(stand)
    timer.join()


def test_an_older_job_that_failed_is_not_taken_for_ours(stand: StandIn) -> None:
    stand.jobs = ["failed"]
    with pytest.raises(MigrationError, match=r"its alias job failed for app\.example\.com"):
        call(stand)
    assert stand.production == OLD
    assert call(stand)["is_current"]


# Failures


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"readyState": "ERROR", "errorCode": "BUILD_FAILED", "errorMessage": "next build exited with 1"},
         r"its build failed \(BUILD_FAILED: next build exited with 1\)\. See its log at https://dpl_1"),
        ({"readyState": "CANCELED"}, "it was cancelled"),
        ({"readyState": "BLOCKED"}, "Vercel blocks it"),
        ({"readyState": "PONDERING"}, "its state PONDERING is not known"),
        ({"checksState": "completed", "checksConclusion": "failed"}, "its checks ended with failed"),
        ({"aliasError": {"code": "cert_missing", "message": "no certificate"}},
         r"its aliases could not be set \(cert_missing: no certificate\)"),
    ],
)  # fmt: skip
def test_a_deployment_that_goes_wrong_is_told_and_users_stay(
    stand: StandIn, outcome: Result, words: str
) -> None:
    stand.builds = [outcome]
    with pytest.raises(MigrationError, match=words):
        call(stand)
    assert stand.production == OLD
    assert stand.sent("/promote/") == []
    assert not back(stand)["changed"]
    assert call(stand)["serving"] == "dpl_2"


def test_checks_are_waited_for(stand: StandIn) -> None:
    stand.builds = [{"checksState": "running", "checksConclusion": None}]
    assert call(stand)["is_current"]


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "bad_request", "400, bad_request: told by the test. See what Vercel says"),
        (401, "unauthorized", "401, .* Give a token that is valid"),
        (402, "payment_required", "402, .* The Hobby plan goes back to the deployment just before"),
        (403, "forbidden", "403, .* Give a token that may change this project"),
        (404, "not_found", "404, .* team_id or team_slug"),
        (409, "conflict", "409, .* Another alias job is at work"),
        (422, "unprocessable_entity", "422, .* cannot do it"),
    ],
)
def test_each_refusal_of_a_promotion_has_its_sentence(
    stand: StandIn, status: int, code: str, words: str
) -> None:
    stand.break_("refuse", "POST", "/promote/", status=status, code=code, message="told by the test")
    with pytest.raises(MigrationError, match=f"Cannot promote dpl_1: Vercel answers {words}") as caught:
        call(stand)
    assert caught.value.facts["status"] == status
    assert len(stand.sent("/promote/")) == 1


def test_a_plan_that_goes_back_one_step_only_says_so(stand: StandIn) -> None:
    stand.is_hobby = True
    stand.add("dpl_older", "v1.9.0")
    call(stand)
    with pytest.raises(MigrationError, match=r"Cannot roll back to dpl_older: Vercel answers 402, .*Hobby"):
        back(stand, deployment="dpl_older")


def test_one_that_never_served_cannot_be_gone_back_to(stand: StandIn) -> None:
    stand.add("dpl_never", "v1.9.0", had_users=False)
    call(stand)
    with pytest.raises(MigrationError, match="422, unprocessable_entity"):
        back(stand, deployment="dpl_never")


def test_a_conflict_does_not_refuse_the_way_back(stand: StandIn) -> None:
    call(stand)
    stand.break_("refuse", "POST", "/rollback/", status=409, code="conflict", message="busy")
    assert back(stand)["serving"] == OLD


def test_too_many_requests_are_waited_for_as_long_as_vercel_asks(stand: StandIn) -> None:
    limit = {"status": 429, "code": "rate_limited", "message": "slow down"}
    stand.break_("refuse", "GET", "/v9/projects", headers={"Retry-After": "1"}, **limit)
    soon = str(int(time.time()) + 2)
    stand.break_("refuse", "POST", "/v13/deployments", headers={"X-RateLimit-Reset": soon}, **limit)
    # However often: a request that was refused so was certainly not done.
    stand.break_("refuse", "POST", "/promote/", times=4, headers={"Retry-After": "0"}, **limit)
    began = time.monotonic()
    assert call(stand)["is_current"]
    assert time.monotonic() - began > 1
    assert len(stand.made()) == 1


def test_a_wait_that_is_longer_than_the_deadline_is_refused_at_once(stand: StandIn) -> None:
    stand.break_(
        "refuse", "GET", "/v9/projects", status=429, code="rate_limited", headers={"Retry-After": "600"}
    )
    began = time.monotonic()
    with pytest.raises(MigrationError, match=r"no more requests for 600 s\. Give the command again later"):
        call(stand)
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_well_for_a_moment_is_asked_again(stand: StandIn) -> None:
    stand.break_("refuse", "GET", "/v9/projects", times=2, status=502)
    stand.break_("cut", "GET", "/v13/deployments", times=2)
    assert call(stand)["is_current"]


def test_a_server_that_stays_unwell_ends_at_the_deadline(stand: StandIn) -> None:
    stand.break_("refuse", "GET", "", times=10**6, status=503)
    with pytest.raises(MigrationError, match=r"Vercel answers 503.*Vercel itself is not well"):
        call(stand, timeout_seconds=1.5)


def test_an_alias_job_without_an_end_is_left_at_the_deadline(stand: StandIn) -> None:
    stand.jobs = ["stuck"]
    with pytest.raises(MigrationError, match=r"Cannot promote dpl_1: its alias job is in-progress after 3 s"):
        call(stand, timeout_seconds=3.0)


@pytest.mark.parametrize("outcome", ["liar", "skipped"])
def test_a_job_that_claims_success_is_not_believed(stand: StandIn, outcome: str) -> None:
    stand.jobs = [outcome]
    with pytest.raises(MigrationError, match=r"app\.example\.com leads to dpl_old"):
        call(stand, timeout_seconds=3.0)


def test_one_domain_that_stays_behind_is_named(stand: StandIn) -> None:
    stand.domains.append({"name": "eu.example.com", "redirect": None, "gitBranch": "x", "verified": True})
    stand.aliases["eu.example.com"] = OLD
    with pytest.raises(MigrationError, match=r"eu\.example\.com leads to dpl_old after"):
        call(stand, timeout_seconds=3.0, domains=["app.example.com", "eu.example.com"])


def test_wrong_names_and_addresses_are_one_sentence(stand: StandIn) -> None:
    with pytest.raises(MigrationError, match="Cannot read project lost: Vercel answers 404"):
        call(stand, project="lost")
    with pytest.raises(MigrationError, match="Cannot read project emailai: Vercel answers 404"):
        call(stand, team_id="team_other")
    with pytest.raises(MigrationError, match="403, forbidden: Not authorized"):
        call(stand, token="another")
    with pytest.raises(MigrationError, match="Cannot read deployment dpl_lost: Vercel answers 404"):
        call(stand, deployment="dpl_lost")
    with pytest.raises(MigrationError, match="the token would travel in the clear"):
        call(stand, api_url="http://api.example.com")
    with pytest.raises(MigrationError, match="it is no address"):
        call(stand, api_url="api.example.com")
    with pytest.raises(MigrationError, match="team_id names the team already"):
        call(stand, team_slug="emailai")
    stand.project["link"] = None
    with pytest.raises(MigrationError, match="linked to no repository"):
        call(stand)
    stand.break_("page", "GET", "/v9/projects")
    with pytest.raises(MigrationError, match="does not answer with JSON"):
        call(stand)
    assert changes(stand) == []


def test_the_token_is_repeated_nowhere(stand: StandIn) -> None:
    stand.break_("refuse", "POST", "/v13/", status=400, code="bad", message="you sent $token")
    with pytest.raises(MigrationError) as caught:
        call(stand)
    assert TOKEN not in str(caught.value)
    assert "***" in str(caught.value)
    assert TOKEN not in repr(call(stand))


# Lost answers


@pytest.mark.parametrize("word", ["/v13/deployments", "/promote/"])
@pytest.mark.parametrize("kind", ["lose", "cut"])
def test_an_answer_that_is_lost_makes_nothing_twice(stand: StandIn, kind: str, word: str) -> None:
    stand.break_(kind, "POST", word)
    stand.job_seconds = 0.6
    assert call(stand)["is_current"]
    assert len(stand.made()) == 1
    assert len(stand.sent(word)) == (1 if kind == "lose" else 2)


@pytest.mark.parametrize("word", ["/v13/deployments", "/promote/"])
def test_a_run_that_ends_between_request_and_answer_is_gone_on_with(stand: StandIn, word: str) -> None:
    stand.break_("lose", "POST", word)
    # Nobody is left to look: as if it were killed.
    stand.break_("cut", "GET", "", times=10**6, after=word)
    with pytest.raises(MigrationError):
        call(stand, timeout_seconds=2.0)
    stand.faults.clear()
    assert call(stand)["is_current"]
    assert len(stand.made()) == 1
    assert len(stand.sent(word)) == 1


def test_an_answer_of_a_rollback_that_is_lost_is_looked_up(stand: StandIn) -> None:
    call(stand)
    stand.break_("lose", "POST", "/rollback/")
    assert back(stand)["serving"] == OLD
    assert len(stand.sent("/rollback/")) == 1


def test_what_is_refused_by_a_server_that_is_not_well_is_tried_three_times(stand: StandIn) -> None:
    stand.break_("refuse", "POST", "/v13/deployments", times=9, status=500)
    with pytest.raises(
        MigrationError, match=r"Cannot create a deployment of v2\.0\.0-orgs: Vercel answers 500"
    ):
        call(stand, timeout_seconds=40.0)
    assert len(stand.sent("/v13/deployments")) == 3


# Rolling releases


def test_a_rolling_release_goes_stage_by_stage(stand: StandIn) -> None:
    stand.configure_rolling(10, 50, 100)
    planned = call(stand, check=True)
    assert planned["plan"][-1] == "promote it to the first stage"
    begun = call(stand)
    assert (begun["changed"], begun["is_current"], begun["serving"]) == (True, False, OLD)
    new = begun["deployment"]["id"]
    assert begun["rolling"] == {"canary": new, "stage": 0, "percent": 10, "percents": [10, 50, 100]}
    for check in (True, False):
        assert not call(stand, check=check)["changed"]

    assert call(stand, "advanced", check=True, stage=1)["plan"] == [f"advance {new} to 50 %"]
    assert call(stand, "advanced", stage=1)["rolling"]["percent"] == 50
    for check in (True, False):
        assert not call(stand, "advanced", check=check, stage=1)["changed"]
    done = call(stand, "advanced", stage=2)
    assert (done["serving"], done["is_current"], done["rolling"]) == (new, True, {})
    for check in (True, False):
        assert not call(stand, "advanced", check=check, stage=2)["changed"]
    assert back(stand)["serving"] == OLD


def test_a_rolling_release_is_aborted_to_where_the_others_are(stand: StandIn) -> None:
    stand.configure_rolling(10, 100)
    call(stand)
    assert back(stand, check=True)["plan"] == [f"return to {OLD}"]
    assert back(stand)["serving"] == OLD
    assert stand.rolling is not None
    assert stand.rolling["state"] == "ABORTED"
    for check in (True, False):
        assert not back(stand, check=check)["changed"]
    assert call(stand)["rolling"]["percent"] == 10


@pytest.mark.parametrize("verb", ["start", "approve-stage", "complete"])
@pytest.mark.parametrize("kind", ["lose", "cut"])
def test_a_lost_answer_of_a_rolling_release_is_looked_up(stand: StandIn, kind: str, verb: str) -> None:
    stand.configure_rolling(10, 50, 100)
    stand.break_(kind, "POST", f"/rolling-release/{verb}")
    call(stand)
    assert call(stand, "advanced", stage=1)["rolling"]["stage"] == 1
    assert call(stand, "advanced", stage=2)["is_current"]
    assert len(stand.sent(f"/rolling-release/{verb}")) == (1 if kind == "lose" else 2)


def test_stages_that_go_on_by_themselves_are_refused_unless_completed(stand: StandIn) -> None:
    stand.configure_rolling(10, 100, kind="automatic")
    with pytest.raises(MigrationError, match="goes on by itself, whatever the gate says"):
        call(stand)
    assert changes(stand) == []
    assert call(stand, rolling="completed")["is_current"]


def test_a_rolling_release_of_others_is_left_alone(stand: StandIn) -> None:
    stand.configure_rolling(10, 100)
    stand.add("dpl_theirs", "v3")
    stand._start({"canaryDeploymentId": "dpl_theirs"})
    with pytest.raises(MigrationError, match="a rolling release of dpl_theirs is under way"):
        call(stand)
    call(stand, "staged")
    with pytest.raises(MigrationError, match="that of dpl_theirs is under way"):
        call(stand, "advanced", stage=1)
