"""The state table as a graph: ``python -m protocols.diagram > docs/state-machines/session.dot``."""

from __future__ import annotations

from collections.abc import Mapping

from protocols.machine import TRANSITIONS, Input, State


def to_dot(transitions: Mapping[tuple[State, Input], State]) -> str:
    """The graph in the language of Graphviz, one edge for each pair of states."""
    edges: dict[tuple[State, State], list[str]] = {}
    for (before, what), after in transitions.items():
        edges.setdefault((before, after), []).append(what.value)
    lines = [
        "// Generated from protocols/machine.py by protocols/diagram.py; a test compares them.",
        "digraph session {",
        '  node [shape=box, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    lines += [f'  "{state.value}";' for state in State]
    for (before, after), words in sorted(
        edges.items(), key=lambda edge: (edge[0][0].value, edge[0][1].value)
    ):
        label = "\\n".join(sorted(words))
        lines.append(f'  "{before.value}" -> "{after.value}" [label="{label}"];')
    lines.append("}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(to_dot(TRANSITIONS), end="")
