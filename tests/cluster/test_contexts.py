# SPDX-License-Identifier: GPL-3.0-or-later
"""Several clusters in one kubeconfig: a change goes to the one that is named."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from cluster.world import World
from lab.cluster import Cluster


def joined(path: Path, clusters: t.Mapping[str, Cluster]) -> Path:
    """One kubeconfig of all; its current context is the first."""
    merged: dict[str, t.Any] = {"apiVersion": "v1", "kind": "Config", "current-context": next(iter(clusters))}
    merged.update({"clusters": [], "users": [], "contexts": []})
    for name, cluster in clusters.items():
        own = yaml.safe_load(cluster.kubeconfig.read_text("utf-8"))
        merged["clusters"].append({**own["clusters"][0], "name": name})
        merged["users"].append({**own["users"][0], "name": name})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    path.write_text(yaml.safe_dump(merged), "utf-8")
    path.chmod(0o600)
    return path


def test_each_context_is_its_own_cluster(cluster: Cluster, tmp_path: Path) -> None:
    with Cluster() as second:
        second.add_nodes(1)
        eu, us = World(cluster), World(second)
        kubeconfig = str(joined(tmp_path / "kubeconfig", {"eu": cluster, "us": second}))
        with pytest.raises(MigrationError, match="404"):
            us.call(kubeconfig=kubeconfig, context="eu")
        with pytest.raises(MigrationError, match="asia"):
            us.call(kubeconfig=kubeconfig, context="asia")
        assert us.call(kubeconfig=kubeconfig, context="us")["changed"]
        assert (len(us.pods(2)), len(eu.pods(2))) == (3, 0)
        # Without a name it is the current one.
        assert eu.call(kubeconfig=kubeconfig)["changed"]
        assert us.back(kubeconfig=kubeconfig, context="us")["changed"]
        assert (len(us.pods(1)), len(eu.pods(2))) == (3, 3)
        us.remove()
        World.made.remove(us)
