from __future__ import annotations

import numpy as np

from w2s_evaluator.monitor.spec import WindowSpec
from w2s_evaluator.monitor.window import MAX_TEACHERS, Labelled, StudentWindow, Version

NOW = 1_000_000.0


def version(n):
    return Version(f"teachers/t{n}", "run", f"sha256:{n:064x}")


def labelled(number, teacher=0, time=NOW, **fields):
    student, label = np.array([0.1, 0.9]), np.array([0.6, 0.4])
    return Labelled(number, time, version(teacher), student, label, **fields)


def numbers(window, now=NOW):
    return window.rows(now)[0]["number"].tolist()


def test_the_last_observations_are_kept_in_their_order():
    window = StudentWindow(WindowSpec(observations=20))
    assert (numbers(window), window.oldest) == ([], 0)
    window.append([labelled(n) for n in range(1, 16)])
    assert (numbers(window), window.oldest) == (list(range(1, 16)), 0)
    window.append([labelled(n) for n in range(16, 31)])
    assert (numbers(window), window.oldest) == (list(range(11, 31)), 11)


def test_what_is_too_old_is_left_out():
    window = StudentWindow(WindowSpec(age=60))
    window.append([labelled(1, time=NOW - 61), labelled(2, time=NOW - 59), labelled(3)])
    assert numbers(window) == [2, 3]
    assert numbers(window, NOW + 60) == [3]
    assert numbers(window, NOW + 61) == []


def test_a_row_says_what_the_labels_and_the_truth_say():
    window = StudentWindow(WindowSpec())
    window.append([labelled(1, no_conflict=np.array([0.7, 0.3])), labelled(2, ceiling=np.array([0.2, 0.8]), truth=1)])
    rows, versions = window.rows(NOW)
    first, second = ({name: rows[name][index].item() for name in rows.dtype.names} for index in (0, 1))
    assert versions == [version(0)]
    assert (first["student"], first["student_confidence"]) == (1, 0.9)
    assert (first["teacher"], first["teacher_confidence"], first["no_conflict"], first["truth"]) == (0, 0.6, 0, -1)
    assert np.isnan([first["teacher_on_truth"], first["ceiling_on_truth"]]).all()
    assert (second["no_conflict"], second["truth"]) == (-1, 1)
    assert (second["teacher_on_truth"], second["ceiling_on_truth"]) == (0.4, 0.8)


def test_a_truth_that_comes_later_is_taken_over():
    window = StudentWindow(WindowSpec(observations=20))
    window.append([labelled(n) for n in range(1, 26)])
    window.learn([labelled(n, truth=1) for n in (3, 7, 25, 99)])
    rows, _ = window.rows(NOW)
    assert rows["number"][rows["truth"] == 1].tolist() == [7, 25]
    assert rows["teacher_on_truth"][rows["truth"] == 1].tolist() == [0.4, 0.4]


def test_the_teachers_in_a_window_are_capped():
    window = StudentWindow(WindowSpec())
    for n in range(MAX_TEACHERS):
        assert window.append([labelled(n, teacher=n)]) == 0
    assert window.append([labelled(n, teacher=n) for n in range(MAX_TEACHERS, MAX_TEACHERS + 2)]) == 2
    rows, versions = window.rows(NOW)
    assert [versions[index] for index in rows["version"]] == [version(n) for n in range(2, MAX_TEACHERS + 2)]
