# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Job is made from: its name, its image, and what is refused before any cluster is asked."""

from __future__ import annotations

import copy
import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import job

IMAGE = "registry.example.com/app@sha256:" + "a" * 64
MANIFEST: dict[str, t.Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "migrate"},
    "spec": {
        "template": {
            "spec": {"containers": [{"name": "app", "image": "old"}, {"name": "proxy", "image": "p"}]}
        }
    },
}


def wish(manifest: t.Optional[dict[str, t.Any]] = None, **more: t.Any) -> job.Wish:
    given = {"release": "v2", "image": IMAGE, "container": "app", "timeout_seconds": 1.0, **more}
    return job.Wish(MANIFEST if manifest is None else manifest, **given)


def changed(path: str, content: t.Any) -> dict[str, t.Any]:
    made = copy.deepcopy(MANIFEST)
    *above, last = path.split(".")
    at = made
    for one in above:
        at = at[one]
    at[last] = content
    return made


def test_the_image_goes_into_the_container_and_the_manifest_stays() -> None:
    before = copy.deepcopy(MANIFEST)
    made = job.compose(wish(), "emailai")
    images = [one["image"] for one in made["spec"]["template"]["spec"]["containers"]]
    assert images == [IMAGE, "p"]
    assert made["metadata"]["annotations"][job.ASKED] == wish().asked
    assert before == MANIFEST
    kept = job.compose(wish(image=""), "emailai")["spec"]["template"]["spec"]["containers"]
    assert kept == MANIFEST["spec"]["template"]["spec"]["containers"]


@given(st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", fullmatch=True), st.text(max_size=80))
def test_a_name_is_one_that_a_cluster_takes(base: str, release: str) -> None:
    name = wish(changed("metadata.name", base), release=release).name
    assert len(name) <= 52
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name)


def test_each_release_image_and_manifest_has_a_name_of_its_own() -> None:
    wishes = [
        wish(),
        wish(release="v3"),
        wish(image=IMAGE.replace("a" * 64, "b" * 64)),
        wish(container="proxy"),
        wish(changed("spec.backoffLimit", 3)),
    ]
    assert len({one.name for one in wishes}) == len(wishes)
    assert wish().name == wish(copy.deepcopy(MANIFEST)).name


@pytest.mark.parametrize(
    ("manifest", "more", "sentence"),
    [
        ({}, {}, r"Cannot run Job \? for v2: its manifest is of None None"),
        (changed("kind", "CronJob"), {}, "its manifest is of batch/v1 CronJob"),
        (changed("metadata", {}), {}, "it has no metadata.name"),
        (changed("metadata.namespace", "other"), {}, "it belongs in namespace other, not emailai"),
        (changed("spec", {}), {}, r"it has no spec\.template\.spec"),
        (changed("spec.suspend", True), {}, "it is suspended and would never begin"),
        (changed("spec.ttlSecondsAfterFinished", 0), {}, "the cluster would remove it 0 s after its end"),
        (MANIFEST, {"image": "app:latest"}, "app:latest is not pinned to a digest"),
        (MANIFEST, {"container": ""}, "2 of its containers are called anything"),
        (MANIFEST, {"container": "web"}, "0 of its containers are called web"),
    ],
)
def test_one_sentence_for_what_is_no_job(
    manifest: dict[str, t.Any], more: dict[str, t.Any], sentence: str
) -> None:
    with pytest.raises(MigrationError, match=sentence):
        job.compose(wish(manifest, **more), "emailai")


@pytest.mark.parametrize(
    ("conditions", "state", "text"),
    [
        ([], "running", ""),
        ([{"type": "FailureTarget", "status": "True"}], "running", ""),
        (
            [{"type": "Complete", "status": "True", "reason": "CompletionsReached"}],
            "complete",
            "CompletionsReached",
        ),
        ([{"type": "Complete", "status": "False"}], "running", ""),
        (
            [
                {
                    "type": "Failed",
                    "status": "True",
                    "reason": "DeadlineExceeded",
                    "message": "it was too long",
                }
            ],
            "failed",
            "DeadlineExceeded: it was too long",
        ),
    ],
)
def test_how_a_job_stands(conditions: list[dict[str, str]], state: str, text: str) -> None:
    assert job.standing({"status": {"conditions": conditions}}) == job.Standing(state, text)
    assert job.standing(None) == job.Standing("absent")
