"""The search with costs and accuracies from a table: what is trained, what is found, what a missed target says."""

from dataclasses import dataclass, field

import pytest

from compress.errors import ConfigError
from compress.press.search import SHARES, more_training, search
from compress.press.setting import Setting
from compress.press.target import Costs, Estimate, Target, Trial

START = Setting(bits=5, convert_epochs=4)
PLAIN = START.uncompressed()
#: The family whose blocks take time; pruning the other families in these tests saves nothing.
GOOD = "inputs:1"


@dataclass
class World:
    """20 ms uncompressed.

    A straight line halves the time and costs a point of accuracy. A pruned share of the family saves that share of the
    time and costs a point per tenth.

    surprise: how many times more than its estimate a trained network costs. patience: what longer training regains.
    """

    activations: tuple[str, ...] = ("a", "b")
    surprise: float = 1.0
    patience: float = 0.005
    limit: float = 0.9
    trained: list[Setting] = field(default_factory=list)

    def cost(self, setting):
        ms = 20.0 * 0.5 ** len(setting.straight) * (1 - setting.share * (setting.block == GOOD))
        return Costs(server_ms=ms, keys_bytes=1e6 * ms, upload_bytes=5e3 * ms)

    def glimpse(self, setting):
        return 0.99 - 0.01 * len(setting.straight) - 0.002 * ("a" in setting.straight) - 0.1 * setting.share

    def estimate(self, setting):
        return Estimate(setting=setting, costs=self.cost(setting)) if setting.share <= self.limit else None

    def train(self, setting):
        self.trained.append(setting)
        costs = self.cost(setting)
        dearer = self.surprise if setting.share else 1.0
        costs = Costs(server_ms=costs.server_ms * dearer, keys_bytes=costs.keys_bytes, upload_bytes=costs.upload_bytes)
        accuracy = self.glimpse(setting) + self.patience * (setting.convert_epochs > 4)
        return Trial(setting=setting, costs=costs, accuracy=accuracy)


def run(world, families=(GOOD, "taps"), **target):
    bounds = {name: target.pop(name) for name in ("max_trials", "minutes") if name in target}
    return search(world, Target(**target), START, families, **bounds)


def test_an_uncompressed_network_that_is_good_enough_is_the_answer():
    found = run(world := World(), server_ms=25, min_accuracy=0.98)
    assert found.met and world.trained == [PLAIN] and found.best.setting == PLAIN


def test_only_settings_that_are_expected_to_meet_the_target_are_trained():
    found = run(world := World(), server_ms=12, min_accuracy=0.975)
    assert found.met
    assert all(world.cost(setting).server_ms <= 12 for setting in world.trained[1:])
    # a line is more accurate after an epoch than 40 % of the blocks are, and "b" hurts less than "a"
    assert found.best.setting == Setting(bits=5, convert_epochs=4, straight=("b",))


def test_the_smallest_share_whose_estimate_fits_is_chosen():
    found = run(World(activations=("a",)), server_ms=17, min_accuracy=0.97)
    assert found.met and found.best.setting.share == 0.15
    every = [share for share in SHARES if 20 * (1 - share) <= 17]
    assert found.best.setting.share == min(every)
    assert len([one for one in found.estimates if one.setting.block == GOOD]) < len(SHARES) / 2


def test_a_trained_network_that_costs_more_than_its_estimate_loses_more_blocks():
    found = run(World(activations=("a",), surprise=1.1), server_ms=16.1, min_accuracy=0.95)
    assert found.met and found.best.setting.share == 0.3
    assert [trial.setting.share for trial in found.trials] == [0.0, 0.2, 0.25, 0.3]


def test_a_network_that_is_not_accurate_enough_is_trained_longer_once():
    found = run(world := World(activations=("a",)), server_ms=16, min_accuracy=0.974)
    assert found.met
    assert world.trained[1:] == [
        (tried := Setting(block=GOOD, share=0.2, bits=5, convert_epochs=4)),
        more_training(tried),
    ]
    assert found.best.setting.convert_epochs == 8 and found.best.setting.bits is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"server_ms": 9, "min_accuracy": 0.985}, "accuracy failed"),
        ({"server_ms": 0.5, "min_accuracy": 0.5}, "server time failed"),
        ({"server_ms": 30, "min_accuracy": 0.5, "keys_bytes": 1e4}, "keys failed"),
        ({"server_ms": 30, "min_accuracy": 0.5, "upload_bytes": 50}, "upload failed"),
        ({"server_ms": 0.5, "min_accuracy": 0.995, "keys_bytes": 1e4}, "server time, keys, accuracy failed"),
    ],
)
def test_what_failed_and_what_came_closest_is_said_in_one_line(target, said):
    found = run(World(), **target)
    assert not found.met and "\n" not in found.verdict
    assert found.verdict.startswith("target not met (accuracy at least ") and said in found.verdict
    assert f"{found.best.costs.server_ms:.1f} ms" in found.verdict
    assert found.best in found.trials


def test_without_a_time_limit_the_fastest_accurate_network_is_chosen():
    world = World()
    found = run(world, min_accuracy=0.96, max_trials=20)
    assert found.met
    # one line (two would leave no curve), then as many blocks as 0.98 - 0.1 share + 0.005 >= 0.96 allows: 0.25
    assert found.best.setting.straight == ("b",) and found.best.setting.share == 0.25
    assert found.best.costs.server_ms == min(trial.costs.server_ms for trial in found.trials if trial.accuracy >= 0.96)


def test_the_pareto_set_is_that_of_all_trained_networks():
    found = run(World(), min_accuracy=0.96, max_trials=20)
    points = [trial.point for trial in found.trials]
    undominated = {
        point
        for point in points
        if not any(o != point and all(a <= b for a, b in zip(o, point, strict=True)) for o in points)
    }
    assert {trial.point for trial in found.front} == undominated
    rows = found.as_json()["trials"]
    assert {row["server_ms"] for row in rows if row["pareto"]} == {point[0] for point in undominated}
    assert sum(row["best"] for row in rows) == 1


def test_the_number_of_trained_networks_is_bounded():
    found = run(world := World(), min_accuracy=0.9, max_trials=3)
    assert len(world.trained) == 3 and found.stopped == "its bound of 3 trainings"
    missed = run(World(activations=("a",)), server_ms=9, min_accuracy=0.99, max_trials=1)
    assert not missed.met and "the search stopped at its bound of 1 trainings" in missed.verdict


def test_time_bounds_the_search_too():
    found = run(world := World(), server_ms=9, min_accuracy=0.99, minutes=1e-9)
    assert world.trained == [PLAIN] and found.stopped == "its bound on time"


def test_untrained_settings_that_were_expected_to_meet_the_target_are_reported():
    found = run(World(), server_ms=12, min_accuracy=0.985, max_trials=1)
    assert "the cheapest setting is expected to take 10.0 ms" in found.verdict
    assert found.expectation is not None and not found.met


def test_a_family_that_cannot_save_enough_is_left_out():
    found = run(World(activations=("a",), limit=0.3), server_ms=10, min_accuracy=0.5)
    assert not found.met and len(found.trials) == 1
    assert "the cheapest setting is expected to take 14.0 ms" in found.verdict


def test_the_same_search_again_is_the_same():
    assert (
        run(World(), server_ms=7, min_accuracy=0.97).as_json() == run(World(), server_ms=7, min_accuracy=0.97).as_json()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_accuracy": 98.0}, "min_accuracy: got 98.0; allowed: a share in"),
        ({"min_accuracy": "0.9"}, "min_accuracy: got '0.9'; allowed: a share in"),
        (
            {"min_accuracy": 0.9, "server_ms": 0.0},
            "server_ms: got 0.0; allowed: a number above 0, or None for no limit",
        ),
        ({"min_accuracy": 0.9, "server_ms": -3}, "server_ms: got -3; allowed: a number above 0, or None for no limit"),
        ({"min_accuracy": 0.9, "upload_bytes": "2M"}, "upload_bytes: got '2M'; allowed: a number above 0"),
        ({"min_accuracy": 0.9, "max_trials": 1.5}, "max_trials: got 1.5; allowed: a whole number, 1 or more"),
        ({"min_accuracy": 0.9, "keys_bytes": -1.0}, "keys_bytes: got -1.0"),
        ({"min_accuracy": 0.9, "max_trials": 0}, "max_trials: got 0"),
        ({"min_accuracy": 0.9, "minutes": 0.0}, "minutes: got 0.0"),
    ],
)
def test_bad_targets_and_bounds_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        run(World(), **options)
