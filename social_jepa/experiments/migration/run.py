"""Does a late joiner train faster by distillation from a peer through anchors than alone?

After Social-JEPA (arXiv:2603.02263), which reports 85 % of an accuracy at 0.28 of the FLOPs; the data set
and the schedule alone that it is relative to are not known.

Protocol. A teacher and a student observe one scene from two poses of the ring, sharing nothing. The teacher
has completed the full schedule. It sends its core latents of some consecutive ticks, once; the student
trains on them and on its own frames of these ticks, as joiners of a run do (`agents.training.distillation`):
the loss is the share of the variance of the teacher's latents that no linear map from the student's latents
explains. No weights, gradients or frames are exchanged. The student is scored by a ridge probe of the true
state on its latents, fitted on one range of ticks and scored on another; neither is used for training, and
the state is used for evaluation alone.

Measured. Counted FLOPs of the student's training, and the distinct frames that it was trained on, until its
score is 85 % or 95 % of the final score of the full schedule alone. *Alone* is the cheapest of many
schedules, each scored at intermediate steps, too: the full one, equally long ones on 1,024 to 24,576 frames,
shorter ones, and ones with smaller batches. Some have a longer warm-up, 40 % of the steps: at 200 steps it
was the best of three on seed 100; notes list the cheapest schedule on each scored seed. *Distilled* is the
cheapest distillation from 1,024 to 6,144 ticks, with several lengths and batches. The cheapest is chosen per
seed on the scored ticks, for both alike. The teacher's cost is reported separately; its own training is not
counted, because it happens anyway; nor are the frames that a student needs to find its core and to be
scored.

Changed: the schedules alone were extended after a first full run, which gave 0.056 for frames and 0.267 for
FLOPs. All but two of its schedules had 24,576 frames, and these two were too short to reach 95 %, so that
the grid determined the first number: the full number of steps on few frames may be cheap in frames. Five
distillations had steps of 64 ticks and no schedule alone did, and where it mattered the full schedule was
scored every 50 steps, now every 25. Short schedules that were never the cheapest to 95 % were left out. The
distillation schedules are unchanged; their weight decay, 1e-2 by mistake, is now that of training alone.
Later the replay buffer of a run became twice as large, 49,152 frames: schedules on all frames follow it, and
the full number of steps on half of them was added.

Baselines: the full schedule alone, scored at intermediate steps, where its learning rate has not decayed
yet: never harder to beat, and shown beside. Other methods: distillation followed by training alone; two
students that distill from each other in turns. Controls: the same distillation from a teacher early in its
training, from one without any training (the null of a teacher), and with the ticks shuffled (the null of the
latents).

Thresholds, set beforehand, on the hardest scene that both learn (the last of `object_counts`): FLOPs to 95 %
of the final score, distilled over alone, at most 0.28; distinct frames to the same score, at most 0.1. Both
count the cheapest schedule alone.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from agents.distillation import distill_targets
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    ring_poses,
    train_agent,
    untrained_agent,
)
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.migration.describe import describe_methods
from social_jepa.experiments.migration.metrics import make_metrics, make_notes
from social_jepa.experiments.migration.plots import make_plots
from social_jepa.experiments.migration.settings import QUICK, MigrationStream, Schedule, Settings
from social_jepa.experiments.migration.training import Student, Trial

KINDS = ("alone", "distilled", "mutual")
CONTROLS = {  # method: latents that it distills
    "distilled, early teacher": "early", "distilled, untrained teacher": "untrained",
    "distilled, shuffled ticks": "shuffled",
}  # fmt: skip
TEACHER, STUDENT, PEER = 0, 1, 2  # indices of the agents
Trials = dict[str, list[Trial]]  # by method
Outcome = tuple[Trials, dict[str, np.ndarray], float]  # with further arrays, and the FLOPs of all training


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train a student by all methods of one kind.

    Args:
        condition: One of KINDS, and the number of objects.
        seed: Seed of the scene and of the agents.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    kind, objects = condition.rsplit("-", 1)
    setup = replace(settings.setup, scene=replace(settings.setup.scene, objects=int(objects)))
    run_kind = {"alone": run_alone, "distilled": run_distilled, "mutual": run_mutual}[kind]
    methods, arrays, flops = run_kind(setup, seed, settings, log)
    scores = {}
    for method, trials in methods.items():
        scores[f"{method}: last"] = trials[-1].score
        scores[f"{method}: best"] = max(trials, key=lambda trial: trial.score.score).score
        arrays[method] = np.array([trial.row for trial in trials])
        log(f"{method}: R2 {scores[f'{method}: best'].score:.3f}")
    return ConditionResult(scores, arrays, flops=flops)


def run_alone(setup: AgentSetup, seed: int, settings: Settings, log: Log) -> Outcome:
    """Train alone by the full schedule, scored at intermediate steps, and by all other schedules."""
    with untrained_agent(setup, seed, STUDENT, ring_poses(setup, 3)) as agent:
        student = Student(agent)
        untrained = student.score(student.untrained_model()).score
        full = student.train_alone(student.untrained_model(), setup.training.steps, settings.eval_steps)
        log(f"the full schedule gives R2 {full[-1].score.score:.3f}")
        others: list[Trial] = []
        flops = full[-1].flops
        default, longer = settings.default_warmup_schedules, settings.long_warmup_schedules
        schedules = (*product(default, [None]), *product(longer, [settings.long_warmup]))
        for (steps, batch, ticks), warmup in schedules:
            evals = tuple(sorted({max(1, round(share * steps)) for share in settings.eval_shares}))
            others += student.train_alone(student.untrained_model(), steps, evals, batch, ticks, warmup)
            flops, score = flops + others[-1].flops, others[-1].score.score
            log(f"{steps} steps of {batch} frames out of {ticks} give R2 {score:.3f}")
    methods = {"full schedule": full, "alone": [*others, *full]}
    return methods, {"untrained": np.array([untrained])}, flops


def run_distilled(setup: AgentSetup, seed: int, settings: Settings, log: Log) -> Outcome:
    """Distill from a trained teacher and from controls, and continue alone after distillation."""
    poses = ring_poses(setup, 3)
    latents, flops_per_tick, teacher_flops = teacher_latents(setup, seed, settings, log)
    with untrained_agent(setup, seed, STUDENT, poses) as agent:
        student = Student(agent)

        def distill(schedule: Schedule, stage: str = "trained") -> Trial:
            steps, batch, ticks = schedule
            trial = student.distill(student.untrained_model(), latents[stage][:ticks], steps, batch)
            log(f"{steps} steps on {ticks} ticks, {stage} latents: R2 {trial.score.score:.3f}")
            return trial

        methods = {"distilled": [distill(schedule) for schedule in settings.distillation_schedules]}
        methods |= {method: [distill(settings.control_schedule, stage)] for method, stage in CONTROLS.items()}
        methods["distilled, then alone"] = [
            _continue_alone(student, latents["trained"], settings, schedule)
            for schedule in settings.continuation_schedules
        ]
    teacher = np.array([latents["trained"].shape[1], flops_per_tick, teacher_flops])
    student_flops = sum(trial.flops for trials in methods.values() for trial in trials)
    return methods, {"teacher": teacher}, teacher_flops + student_flops


def teacher_latents(
    setup: AgentSetup, seed: int, settings: Settings, log: Log
) -> tuple[dict[str, Tensor], float, float]:
    """Train the teacher; return its core latents, [K, D], by stage of its training.

    Returns:
        (latents by "untrained", "early", "trained" and "shuffled"; FLOPs of one tick of latents; FLOPs of the
        teacher's training).
    """
    stages = {"untrained": 0, "early": settings.early_teacher_steps, "trained": setup.training.steps}
    schedules = (
        *settings.distillation_schedules, settings.control_schedule, settings.initial_distillation,
    )  # fmt: skip
    requested = max(ticks for *_, ticks in schedules)
    latents, flops = {}, 0.0
    with untrained_agent(setup, seed, TEACHER, ring_poses(setup, 3)) as agent:
        for stage, until in stages.items():
            flops += train_agent(agent, log, until)
            latents[stage], encoding = count_flops(lambda: distill_targets(agent, requested)[1])
    if not latents["untrained"].shape[1]:  # without a core there is nothing to distill
        latents["untrained"] = torch.zeros(requested, 1)
    ticks = settings.control_schedule[2]
    order = MigrationStream.SHUFFLE.rng(seed).permutation(ticks)
    latents["shuffled"] = latents["trained"][:ticks][order]
    return latents, encoding / requested, flops


def _continue_alone(student: Student, latents: Tensor, settings: Settings, schedule: Schedule) -> Trial:
    model, (steps, batch, ticks) = student.untrained_model(), settings.initial_distillation
    distilled = student.distill(model, latents[:ticks], steps, batch)
    return student.train_alone(model, schedule[0], (), *schedule[1:], settings.long_warmup, distilled)[-1]


def run_mutual(setup: AgentSetup, seed: int, settings: Settings, log: Log) -> Outcome:
    """Train two students alone for some steps; then each distills from the other in turns."""
    pair = []
    for index in (STUDENT, PEER):
        with untrained_agent(setup, seed, index, ring_poses(setup, 3)) as agent:
            pair.append(Student(agent))
    models = [student.untrained_model() for student in pair]
    trials = [
        student.train_alone(model, settings.mutual_start_steps, warmup=settings.long_warmup)
        for student, model in zip(pair, models, strict=True)
    ]
    steps, batch, ticks = settings.mutual_schedule
    for turn in range(settings.mutual_rounds):
        for one in (0, 1):
            latents = pair[1 - one].core_latents(models[1 - one], ticks)
            trials[one].append(pair[one].distill(models[one], latents, steps, batch, trials[one][-1]))
        log(f"round {turn + 1}: R2 {trials[0][-1].score.score:.3f} and {trials[1][-1].score.score:.3f}")
    methods = {"mutual": trials[0][1:], "mutual, peer": trials[1][1:]}  # the first trial is alone
    return methods, {}, sum(each[-1].flops for each in trials)


EXPERIMENT = Experiment(
    name="migration",
    question="Does a late joiner train faster by distillation from a peer through anchors than alone?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: [f"{kind}-{count}" for count in settings.object_counts for kind in KINDS],
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
)
