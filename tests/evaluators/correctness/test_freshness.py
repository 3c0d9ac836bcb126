"""What a module still holds of its output is counted; new memory is never taken for kept."""

import torch

from evaluators.inside.freshness import form_of, is_kept


def test_new_memory_is_not_kept():
    def view():
        whole = torch.empty(4, 6)
        return whole[1:].permute(1, 0)

    assert is_kept([torch.empty(3), view(), torch.zeros(2, 2).t().contiguous(), "no tensor"]) == [False] * 4
    held = torch.empty(5)
    assert is_kept([held.clone(), held + 1]) == [False, False]


def test_what_is_held_elsewhere_is_kept():
    held, pool, shared = torch.empty(3), torch.empty(8), torch.empty(4)
    alias = shared.detach()
    assert is_kept([held, pool[:3], pool.view(2, 4), shared]) == [True] * 4
    assert alias.shape == (4,)


def test_garbage_in_a_cycle_is_not_kept():
    def made():
        output = torch.empty(3)
        cycle = [output]
        cycle.append(cycle)
        return output

    assert is_kept([made()]) == [False]


def test_the_form_of_an_input_shows_what_no_byte_shows():
    value = torch.zeros(2, 3)
    before = form_of(value)
    value.t_()
    assert form_of(value) != before
    assert form_of("a literal") is None
