"""The hook of the site that typesets equations tells them from code, and puts indices where they belong."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HOOK = Path(__file__).parents[1] / "docs" / "equations.py"


@pytest.fixture(scope="module")
def equations() -> ModuleType:
    """The hook, loaded as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location("equations", HOOK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def block(text: str) -> str:
    """A block of text as mkdocs gives it to the hook."""
    return f'<div class="highlight"><pre><span></span><code>{text}</code></pre></div>'


EQUATIONS = [
    "y_t, h_t = f(x_t, h_{t-1})",
    'n_t = tanh(W_n x_t + b_n + U_n (r_t ∘ h_{t-1}))     candidate, reset_gate="before"',
    "FIT = 100 (1 − ‖y − ŷ‖ / ‖y − ȳ‖)        over the rows after the start",
    "scores y_t → log p = log softmax(y_t) → the strategy's log q → a symbol s_t → the next input",
    "min over f, m, a, b of  Σ_t w_t Σ_i (y_i(t) − m_i)²",
]
OTHERS = [
    "model = GRURegressor(hidden_size=16, max_epochs=100)",
    "from torch import nn\nx_t = nn.Linear(3, 2)",
    "[y_t]   [A  B] [x_t    ]\n[h_t] = [C  D] [h_{t-1}]",
    "         ↑         ↑\nh_{-1} → f → h_0 → f → h_1",
    "2002-01-01  371.9  371.6  372.3",
    "J_t             (4, 200, 8, 8)\nln ‖P‖ by lag   {1: -0.2, 2: -0.6} → 0",
]


@pytest.mark.parametrize("text", EQUATIONS)
def test_an_equation_is_a_table(equations: ModuleType, text: str) -> None:
    """One row a line, one cell a column."""
    page = equations.on_page_content(block(text))
    assert page.startswith('<table class="equation">') and page.count("<tr>") == 1
    assert page.count("<td>") == (2 if "     " in text else 1)


@pytest.mark.parametrize("text", OTHERS)
def test_code_drawings_and_output_stay(equations: ModuleType, text: str) -> None:
    """What is no equation is left as it is."""
    assert equations.on_page_content(block(text)) == block(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h_{t-1}", "<i>h</i><sub><i>t</i>−1</sub>"),
        ("Σ_k D^k", "Σ<sub><i>k</i></sub> <i>D</i><sup><i>k</i></sup>"),
        ("softmax_j(e_tj)", "softmax<sub><i>j</i></sub>(<i>e</i><sub><i>tj</i></sub>)"),
        ("g^{(t)}_s", "<i>g</i><sup>(<i>t</i>)</sup><sub><i>s</i></sub>"),
        ("reset_gate < 1", "<code>reset_gate</code> &lt; 1"),
    ],
)
def test_indices_and_exponents(equations: ModuleType, text: str, expected: str) -> None:
    """Down, up, italic; a name with underscores is code."""
    assert equations.typeset(text) == expected


def test_sentences_keep_their_code_and_names(equations: ModuleType) -> None:
    """An index in a sentence is typeset; code, attributes, and names of several letters are not."""
    page = '<p title="x_t">Of h_t, e^(−a) and num_layers <code>x_t</code></p>'
    typeset = "Of <i>h</i><sub><i>t</i></sub>, <i>e</i><sup>(−<i>a</i>)</sup> and num_layers"
    assert equations.on_page_content(page) == f'<p title="x_t">{typeset} <code>x_t</code></p>'
