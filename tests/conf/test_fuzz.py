"""Whatever is in a YAML file: a configuration or a ConfigError, never another exception."""

import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.mistake import ConfigError

# Each example composes once: under the profile `dev` a handful, under `nightly` a night of them.
EXAMPLES = max(4, settings.default.max_examples // 8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["???", "${", "${a}", "${..}", "${oc.env:HOME}", "_self_", "0x1p3", "1e999", "<<"]
    )
)
KEYS = st.sampled_from(
    [
        "defaults",
        "facility",
        "robot",
        "limits",
        "name",
        "hydra",
        "_target_",
        "<<",
        "",
        "a.b",
        "kind",
    ]
) | st.text(max_size=6)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


def judge(tree, name="facility/osaka.yaml", **choices):
    """Compose; a ConfigError must be printable and have mistakes."""
    try:
        tree.compose(**choices)
    except ConfigError as error:
        refusal = error
    else:
        return
    assert refusal.mistakes
    assert str(refusal)


@given(data=TREES)
@settings(max_examples=EXAMPLES)
def test_any_tree_of_values_in_a_facility(make_tree, data):
    tree = make_tree()
    tree.write("facility/osaka.yaml", "# @package _global_\n" + yaml.safe_dump(data))
    judge(tree)


@given(data=TREES)
@settings(max_examples=EXAMPLES)
def test_any_tree_of_values_below_a_group(make_tree, data):
    tree = make_tree()
    tree.append("hardware/sim_x86.yaml", yaml.safe_dump({"cameras_": data}))
    tree.write("policy/default.yaml", yaml.safe_dump(data))
    judge(tree)


@given(text=st.text(max_size=60))
@settings(max_examples=EXAMPLES)
def test_any_text_as_a_file(make_tree, text):
    tree = make_tree()
    (tree.folder / "telemetry/default.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    judge(tree)


@given(raw=st.binary(max_size=60))
@settings(max_examples=EXAMPLES)
def test_any_bytes_as_a_file(make_tree, raw):
    tree = make_tree()
    (tree.folder / "facility/osaka.yaml").write_bytes(raw)
    judge(tree)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=EXAMPLES)
def test_a_real_file_with_characters_changed(make_tree, seed):
    tree = make_tree()
    rng = random.Random(seed)
    file = tree.folder / rng.choice(
        ["robot.yaml", "facility/osaka.yaml", "hardware/sim_x86.yaml", "robot/panda.yaml"]
    )
    text = list(file.read_text())
    for _ in range(rng.randint(1, 4)):
        text[rng.randrange(len(text))] = rng.choice("{}[]:,-#&*!|>'\"%@`?\t\n 0aé$~")
    file.write_text("".join(text))
    judge(tree)


@given(text=st.text(max_size=30))
@settings(max_examples=EXAMPLES)
def test_any_text_as_a_value_of_an_override(make_tree, text):
    judge(make_tree(), overrides=[f"facility.title={text}"])


@given(text=st.text(max_size=30))
@settings(max_examples=EXAMPLES)
def test_any_text_as_an_override_or_a_choice(make_tree, text):
    tree = make_tree()
    judge(tree, overrides=[text])
    judge(tree, facility=text)
    judge(tree, robot_id=text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5_000,
        "{a: " * 2_000,
        "a:\n" + "".join(" " * i + "b:\n" for i in range(1, 200)),
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c,*c]\n",
        "a: " + "9" * 5_000,
        "a: !!python/object/apply:os.system ['true']\n",
        "a: !!binary aGk=\n",
        "? [1, 2]\n: 3\n",
        "1: 2\ntrue: 3\nnull: 4\n",
        "--- a\n--- b\n",
        "\ufeffa: 1\n",
        "defaults: 5\n",
        "defaults: [{override: 3}]\n",
        "defaults: [nosuch, _self_]\n",
        "defaults: [/facility: osaka]\n",
        "defaults: [{override /hardware: nosuch}]\n",
        "facility: ${facility}\n",
        "facility: ???\n",
        "robot: null\n",
        "unit: 3\n",
        "hardware: []\n",
        "x" * (2 << 20),
    ],
    ids=lambda text: repr(text[:24]),
)
def test_nasty_file(tree, text):
    tree.write("facility/osaka.yaml", "# @package _global_\n" + text)
    with pytest.raises(ConfigError) as caught:
        tree.compose()
    assert len(str(caught.value)) < 200_000
