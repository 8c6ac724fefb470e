# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what Vercel tells, without Vercel."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import (
    client,
    release,
    states,
)

NAMES = st.sampled_from(["dpl_1", "dpl_2", "dpl_3", ""])
STATES = st.sampled_from([*states.BUILDING, "READY", "ERROR", "CANCELED", "BLOCKED", "DELETED", "NEW", ""])
DOCUMENTS = st.fixed_dictionaries(
    {
        "uid": NAMES,
        "readyState": STATES,
        "target": st.sampled_from(["production", "staging", None]),
        "createdAt": st.integers(0, 5),
        "checksState": st.sampled_from(["registered", "running", "completed", None]),
        "checksConclusion": st.sampled_from(["succeeded", "failed", "skipped", "canceled", None]),
        "aliasError": st.sampled_from([None, {"code": "c", "message": "m"}]),
        "meta": st.fixed_dictionaries(
            {states.RELEASE: st.sampled_from(["v1", "v2"]), states.SOURCE: st.sampled_from(["a", "b"])}
        ),
    }
)
JOBS = st.builds(
    states.Job,
    st.sampled_from(["promote", "rollback"]),
    st.sampled_from(["pending", "in-progress", "succeeded", "failed", "skipped"]),
    st.integers(0, 5).map(float),
    NAMES,
    NAMES,
)


@given(DOCUMENTS)
def test_a_deployment_is_building_ready_waiting_or_wrong_and_nothing_else(document: t.Any) -> None:
    one = states.deployment_from(document)
    is_waiting = one.state == "READY" and one.awaits_checks and not one.wrong
    assert [one.is_building, one.is_ready, is_waiting, bool(one.wrong)].count(True) == 1


@given(st.lists(DOCUMENTS), st.randoms())
def test_the_deployment_that_goes_on_is_good_ours_and_the_same_in_any_order(
    documents: t.Any, random: t.Any
) -> None:
    rows = [states.deployment_from(document) for document in documents]
    found = states.chosen(rows, "v2", "a")
    random.shuffle(rows)
    again = states.chosen(rows, "v2", "a")
    assert (found and (found.id, found.state, found.created)) == (
        again and (again.id, again.state, again.created)
    )
    usable = [one for one in rows if one.release == "v2" and one.source == "a" and one.is_production]
    usable = [one for one in usable if one.id and not one.wrong]
    assert (found is None) == (not usable)
    if found is not None:
        assert found in usable
        assert found.state == "READY" or all(one.state != "READY" for one in usable)


@given(JOBS, JOBS, st.sampled_from(["promote", "rollback"]), NAMES)
def test_a_job_is_ours_only_if_it_leads_there_and_is_new_or_was_at_work(
    job: states.Job, before: states.Job, kind: str, wanted: str
) -> None:
    if states.is_ours(job, before, kind, wanted):
        assert (job.kind, job.leads_to) == (kind, wanted)
        assert job.at > before.at or before.is_at_work
    assert not states.is_ours(states.Job(kind, "succeeded", 3, "", "dpl_9"), before, kind, wanted)


@given(DOCUMENTS, JOBS, NAMES)
def test_the_way_back_never_leads_to_what_is_left(document: t.Any, job: states.Job, previous: str) -> None:
    meta = {**document["meta"], states.PREVIOUS: previous, states.PREVIOUS_RELEASE: "v1"}
    serving = states.deployment_from({**document, "meta": meta})
    found = states.way_back(serving, job, "v1")
    assert serving.id not in found
    assert len(found) == len(set(found))
    assert set(found) <= {job.came_from, previous} - {""}
    assert states.way_back(serving, states.Job(), "another") == []


def test_the_last_promotion_says_more_than_an_older_note() -> None:
    meta = {states.PREVIOUS: "dpl_noted", states.PREVIOUS_RELEASE: "v1"}
    serving = states.deployment_from({"id": "dpl_new", "meta": meta})
    promoted = states.Job("promote", "succeeded", 1, "dpl_hotfix", "dpl_new")
    assert states.way_back(serving, promoted, "v1") == ["dpl_hotfix", "dpl_noted"]
    elsewhere = states.Job("promote", "succeeded", 1, "dpl_hotfix", "dpl_other")
    assert states.way_back(serving, elsewhere, "v1") == ["dpl_noted"]
    returned = states.Job("rollback", "succeeded", 1, "dpl_hotfix", "dpl_new")
    assert states.way_back(serving, returned, "v1") == ["dpl_noted"]


def test_only_domains_by_which_users_reach_production_count() -> None:
    rows: list[dict[str, t.Any]] = [
        {"name": "app.example.com", "verified": True, "redirect": None, "gitBranch": None},
        {"name": "www.example.com", "verified": True, "redirect": "app.example.com"},
        {"name": "next.example.com", "verified": True, "gitBranch": "next"},
        {"name": "qa.example.com", "verified": True, "customEnvironmentId": "env_1"},
        {"name": "new.example.com", "verified": False},
    ]
    assert states.production_domains(rows) == ["app.example.com"]


@pytest.mark.parametrize("state", ["COMPLETE", "ABORTED"])
def test_a_rolling_release_that_is_over_is_none(state: str) -> None:
    assert states.rolling_from({"rollingRelease": {"state": state, "stages": []}}) is None
    assert states.rolling_from({"rollingRelease": None}) is None


@pytest.mark.parametrize(
    ("config", "is_manual"),
    [
        ({"advancementType": "manual-approval"}, True),
        ({"advancementType": "automatic", "stages": [{"requireApproval": True}, {}]}, False),
        ({"stages": [{"requireApproval": True}, {"targetPercentage": 100}]}, True),
        ({"stages": [{"duration": 5}, {"targetPercentage": 100}]}, False),
        ({}, False),
    ],
)
def test_stages_are_manual_only_where_that_is_said(config: t.Any, is_manual: bool) -> None:
    assert states.is_manual(config) is is_manual


@pytest.mark.parametrize(
    ("link", "source"),
    [
        ({"type": "github", "repoId": 1}, {"type": "github", "ref": "v2", "sha": "abc", "repoId": 1}),
        (
            {"type": "gitlab", "projectId": "7"},
            {"type": "gitlab", "ref": "v2", "sha": "abc", "projectId": "7"},
        ),
        (
            {"type": "bitbucket", "uuid": "{r}", "workspaceUuid": "{w}"},
            {"type": "bitbucket", "ref": "v2", "sha": "abc", "repoUuid": "{r}", "workspaceUuid": "{w}"},
        ),
    ],
)
def test_a_commit_is_named_as_its_provider_wants_it(link: t.Any, source: t.Any) -> None:
    assert release.git_source(link, release.Wish("v2", ref="v2", sha="abc")) == source


def test_a_project_without_a_repository_has_no_commits() -> None:
    with pytest.raises(MigrationError, match="linked to no repository"):
        release.git_source({}, release.Wish("v2", ref="v2"))


@given(
    st.binary(max_size=80)
    | st.recursive(st.text() | st.none(), st.lists).map(lambda d: json.dumps(d).encode())
)
def test_any_body_of_a_refusal_is_read_without_a_failure(body: bytes) -> None:
    assert isinstance(client._words(body), str)
    assert isinstance(client._words(b'{"error": ' + body + b"}"), str)


def test_an_access_does_not_show_its_token() -> None:
    assert "5ecret" not in repr(client.Access("https://api.vercel.com", "5ecret"))
