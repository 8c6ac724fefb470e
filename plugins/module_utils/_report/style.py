# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the report looks: one column, calm, in light and dark and on paper. No script."""

from __future__ import annotations

import typing as t

CSS: t.Final = """
:root {
  color-scheme: light dark;
  --paper: #fbfbfa; --card: #ffffff; --ink: #1c2126; --soft: #66707a; --rule: #e3e6e8;
  --good: #1f7a4d; --good-wash: #e4f3ea; --bad: #b3261e; --bad-wash: #fbe7e5;
  --wait: #8a5a00; --wait-wash: #fbf0d9; --plain: #3d5a80; --plain-wash: #e6edf5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #dfe3e6; --soft: #98a2ab; --rule: #2d3338;
    --good: #6fcf97; --good-wash: #17301f; --bad: #ff8a80; --bad-wash: #3a1b19;
    --wait: #e6b450; --wait-wash: #33270f; --plain: #8fb3dc; --plain-wash: #1a2836;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
    font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header { margin-bottom: 2rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 0 0 .9rem; }
h3 { font-size: .95rem; margin: 1.4rem 0 .5rem; color: var(--soft); font-weight: 600; }
p { margin: .3rem 0 .7rem; max-width: 46rem; }
.soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem;
    padding: 1.25rem 1.4rem; margin: 0 0 1.1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .9rem;
    margin: 1.3rem 0 0; }
.tile { border-left: 3px solid var(--rule); padding: .1rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums;
    overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .42rem .8rem .42rem 0;
    border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; padding-right: 1.6rem; }
.error { color: var(--bad); margin-top: .25rem; }
td.time { white-space: nowrap; color: var(--soft); }
.badge { display: inline-block; border-radius: 1rem; padding: .05rem .6rem; font-size: .8rem;
    font-weight: 600; white-space: nowrap; }
.good { color: var(--good); background: var(--good-wash); }
.bad { color: var(--bad); background: var(--bad-wash); }
.wait { color: var(--wait); background: var(--wait-wash); }
.plain { color: var(--plain); background: var(--plain-wash); }
code { font: .88em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
    background: var(--plain-wash); border-radius: .3rem; padding: .1rem .35rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .2rem 1.2rem;
    margin: .2rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
td dl { grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: 0; }
td dd dl, td td dl { border: 0; }
dd dl { border-left: 2px solid var(--rule); padding-left: .8rem; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--soft); }
nav { margin: 1rem 0 0; font-size: .88rem; } nav a { margin-right: 1rem; white-space: nowrap; }
a { color: var(--plain); }
svg { display: block; width: 100%; height: auto; min-width: 34rem; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .soft { fill: var(--soft); }
svg .grid { stroke: var(--rule); } svg .bar-good { fill: var(--good); } svg .bar-bad { fill: var(--bad); }
svg .bar-wait { fill: var(--wait); } svg .bar-plain { fill: var(--plain); }
svg .band0 { fill: var(--plain-wash); opacity: .55; } svg .band1 { fill: none; }
svg .curve { fill: none; stroke: var(--plain); stroke-width: 1.6; } svg .errors { fill: var(--bad); }
footer { color: var(--soft); font-size: .85rem; margin-top: 2rem; }
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; }
  body { font-size: 10.5pt; } main { padding: 0; max-width: none; } nav { display: none; }
  section { border: 0; border-top: 1px solid var(--rule); border-radius: 0; padding: 1rem 0; }
  tr, .tile, svg { break-inside: avoid; } h2 { break-after: avoid; }
}
"""
