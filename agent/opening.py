"""Open a run: its subject, its stages as they are for this category of operators, its strategy.

What a run is told when it begins (facts of the problem, outcomes of earlier runs) is kept in its directory, so that
every later process, also one on a machine without torch, plans and prompts the same.

Limits: no proposer and no judge of its own; the judge is asked for facts only where none are kept.
"""

from pathlib import Path

from agent.context import Subject
from agent.draft import Planner
from agent.policy import strategy_for
from evaluators.gpu_catalog import load_gpu
from evaluators.judging import Judge
from evaluators.problem import Problem, ProblemFacts
from prompts.cards import cards_for
from prompts.category import adapted
from prompts.context import Memory
from prompts.stages import all_stages
from runs.memory import MemoryStore, outcomes_of, snapshot
from runs.nouns import RunConfig
from runs.record import Record
from runs.store import RunDirectory, open_run


def begin(directory: RunDirectory, judge: Judge) -> None:
    """Keep what is known when a run begins; nothing where it is kept already. Raises BadProblem."""
    if directory.facts() is not None:
        return
    keep_facts(directory, facts_for(directory.run.config, judge))


def facts_for(config: RunConfig, judge: Judge) -> ProblemFacts:
    """What the judge finds out about a run's problem, also before there is a run. Raises BadProblem."""
    return judge.facts(Problem.model_validate_json(config.problem_source))


def keep_facts(directory: RunDirectory, facts: ProblemFacts) -> None:
    """Begin a run with what was found out about its problem."""
    directory.keep_beginning(facts, _memories(directory, directory.run.config, facts))


def planner_for(directory: RunDirectory) -> Planner:
    """The planner of a run that has begun."""
    config = directory.run.config
    facts, gpu = directory.facts(), load_gpu(config.gpu)
    stages = all_stages(Path(config.stages_dir) if config.stages_dir else None)
    return Planner(
        Subject(
            problem=Problem.model_validate_json(config.problem_source),
            facts=facts,
            gpu=gpu,
            seed_code=config.seed_code,
            memories=directory.memories(),
            tune_points=config.tune_points,
            cards=cards_for(facts, gpu) if config.playbook_hints else (),
        ),
        tuple(adapted(stage, facts) for stage in stages),
        strategy_for(config.strategy),
    )


def remember(record: Record) -> int:
    """Put what the run found out into the memory across runs; a replay finds out nothing. Returns how many outcomes."""
    directory = record.directory
    facts = directory.facts()
    if facts is None or replayed_run(directory.run.config) is not None:
        return 0
    found = outcomes_of(directory, facts, load_gpu(directory.run.config.gpu), record.state)
    return MemoryStore(directory.path.parent).add(found)


def replayed_run(config: RunConfig) -> str | None:
    """The run whose replies are replayed, if that is what this run does."""
    kind, _, run = config.model.partition(":")
    return run if kind == "replay" else None


def _memories(directory: RunDirectory, config: RunConfig, facts: ProblemFacts) -> tuple[Memory, ...]:
    """What this run is told; a replay is told what the recorded run was told."""
    replayed = replayed_run(config)
    if replayed is not None:
        return open_run(replayed, directory.path.parent).memories()
    known = MemoryStore(directory.path.parent).outcomes()
    return snapshot(known, config.problem, facts, load_gpu(config.gpu))
