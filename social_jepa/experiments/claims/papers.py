"""The claims of the papers, with the figures that could be read, and what measures each of them here.

Figures of seq-JEPA are from its tables or, where the source says so, read off its plots; P-JEPA states its
result in words. Of Social-JEPA, which was withdrawn, few numbers are known. A claim about JEPAs in general is
held to the worst of the objectives that were tried. Theorems are no claims here: a measurement cannot fail
them, and their checks are in the experiments theory and collapse.
"""

from collections.abc import Mapping

from social_jepa.experiments.claims.claim import Claim, Requirement
from social_jepa.experiments.framework.threshold import Threshold

PAPERS: Mapping[str, str] = {
    "Social-JEPA": "https://arxiv.org/abs/2603.02263",
    "seq-JEPA": "https://arxiv.org/abs/2505.03176",
    "P-JEPA": "https://arxiv.org/abs/2509.12249",
}
NO_FIGURE = "none given"

CLAIMS: Mapping[str, Claim] = {
    "isometry": Claim(
        "Social-JEPA", "Latents of JEPAs that were trained apart are related by an approximate linear "
        "isometry (share of the R2 of W that a similarity transform keeps, worst objective)",
        figure=NO_FIGURE, source="abstract",
        experiment="native-isometry", metric="worst objective: share of R2 kept by a similarity transform",
        bound=Threshold(">=", 0.95), conditions=("log-det", "vicreg", "ema"),
    ),
    "conditioning": Claim(
        "Social-JEPA", "whose W is well conditioned (kappa over directions that correlate by 0.5 or more, "
        "worst objective)",
        figure=NO_FIGURE, source="figure on pairs and conditioning",
        experiment="native-isometry", metric="worst objective: kappa of W, strong directions",
        bound=Threshold("<=", 1.5), conditions=("log-det", "vicreg", "ema"),
    ),
    "jepa-specific": Claim(
        "Social-JEPA", "It comes from predicting latents, where contrast does not give it (agreement minus "
        "that of temporal InfoNCE at equal state R2, worst objective)",
        figure=NO_FIGURE, source="comparison with other objectives",
        experiment="time-or-jepa",
        metric="worst JEPA minus temporal InfoNCE at equal state R2, free map",
        bound=Threshold(">=", 0.05),
        conditions=("whitened", "vicreg", "log-det", "ema", "temporal-infonce"),
    ),
    "beyond-the-state": Claim(
        "Social-JEPA", "and is one of latent spaces, not only of linear functions of the state that both "
        "encode (R2 of a map once these are removed, worst objective)",
        figure=NO_FIGURE, source="implied by an isometry of latent spaces",
        experiment="time-or-jepa", metric="worst JEPA residual agreement",
        bound=Threshold(">=", 0.3),
        also=(Requirement("worst JEPA residual agreement minus the better baseline", Threshold(">", 0)),),
        conditions=("whitened", "vicreg", "log-det", "ema", "pixel-pca", "untrained", "tica"),
    ),
    "viewpoint-shift": Claim(
        "Social-JEPA", "The alignment survives large viewpoint shifts (R2 at 180 degrees)",
        figure=NO_FIGURE, source="abstract",
        experiment="viewpoint", metric="R2 of the core at 180 degrees, {pairs} pairs",
        bound=Threshold(">=", 0.92), conditions=("separation",),
    ),
    "scant-overlap": Claim(
        "Social-JEPA", "and scant overlap in raw pixels (R2 where a tenth of the surfaces is seen by both)",
        figure=NO_FIGURE, source="abstract",
        experiment="scant-overlap",
        metric="R2 of all shared factors, missing directions unexplained, overlap 0.1",
        bound=Threshold(">=", 0.85), conditions=("overlap 0.1",),
        also=(
            Requirement("R2 of all shared factors minus the best baseline, overlap 0.1", Threshold(">", 0)),
        ),
    ),
    "classifier-porting": Claim(
        "Social-JEPA", "A classifier trained on one agent is ported to another without gradient steps (loss "
        "of top-1)",
        figure=NO_FIGURE, source="abstract",
        experiment="classifier-porting", metric="own minus ported, {threshold_pairs} pairs",
        bound=Threshold("<=", 0.02), conditions=("agents",),
        also=(
            Requirement("own", Threshold(">=", 0.8)),
            Requirement("ported minus the best baseline ported", Threshold(">", 0)),
        ),
    ),
    "migration-85": Claim(
        "Social-JEPA", "Migration reaches 85 % of the accuracy at a share of the FLOPs of learning alone",
        figure="0.28", source="summary of the paper",
        experiment="migration", metric="FLOPs to 85 % / alone: distilled",
        bound=Threshold("<=", 0.28), recorded_metric="FLOPs to 85 % over alone: taught",
    ),
    "migration-95": Claim(
        "Social-JEPA", "The same to 95 %, which the paper does not state",
        figure=NO_FIGURE, source="ours",
        experiment="migration", metric="FLOPs to 95 %, distilled / alone",
        bound=Threshold("<=", 0.28), recorded_metric="FLOPs to 95 %, taught over alone",
    ),
    "rotation": Claim(
        "seq-JEPA", "Two single latents predict the rotation between their views (R2)",
        figure="0.71", source="table of 3DIEBench, 3 views in training and 5 in the test",
        experiment="invariance-equivariance", metric="R2 of relative rotation, seq-JEPA",
        bound=Threshold(">=", 0.70), conditions=("seq-jepa-3",),
        recorded_metric="relative rotation R2, seq-JEPA",
    ),
    "action-conditioning": Claim(
        "seq-JEPA", "and do not without action conditioning (R2 with minus without)",
        figure="0.42", source="table of 3DIEBench",
        experiment="invariance-equivariance",
        metric="R2 of relative rotation, with minus without actions",
        bound=Threshold(">=", 0.3), conditions=("seq-jepa-3", "seq-jepa-3-no-actions"),
        recorded_metric="the same minus without actions",
    ),
    "invariance": Claim(
        "seq-JEPA", "The aggregate of five views classifies better than SimCLR (top-1, difference)",
        figure="0.063", source="table of 3DIEBench",
        experiment="invariance-equivariance", metric="top-1 of the aggregate of 5 minus simclr",
        bound=Threshold(">", 0.0), conditions=("seq-jepa-3", "simclr"),
        ceiling=("simclr: top-1, mean latent", "simclr: top-1, mean code"), ceiling_group="seen classes",
    ),
    "path-integration": Claim(
        "seq-JEPA", "Views and actions integrate a path of seven steps better than actions alone (R2, "
        "difference)",
        figure="0.09", source="read off a plot of saccades",
        experiment="path-integration", metric="R2: scene views, 7 actions, minus action only",
        bound=Threshold(">", 0.0), conditions=("scene views",),
    ),
    "counting": Claim(
        "P-JEPA", "Reward and dynamics together separate all nine counts (pairs of counts, of 36)",
        figure="9 clusters", source="text",
        experiment="counting", metric="joint: separable pairs of 36",
        bound=Threshold(">=", 35.5), conditions=("joint",),
        recorded_metric="joint: pairs of counts told apart, of 36",
    ),
    "reward-only": Claim(
        "P-JEPA", "The reward alone separates fewer (pairs, reward alone minus both)",
        figure="3 groups", source="text",
        experiment="counting", metric="reward-only minus joint: separable pairs",
        bound=Threshold("<", -3), conditions=("joint", "reward-only"),
        recorded_metric="reward only minus joint: pairs told apart",
    ),
    "dynamics-only": Claim(
        "P-JEPA", "Dynamics alone collapse (effective rank of the latents, above the floor)",
        figure="full collapse", source="text",
        experiment="counting", metric="dynamics-only: effective rank above the floor",
        bound=Threshold("<", 1.5), conditions=("dynamics-only",),
    ),
    "collapse": Claim(
        "P-JEPA", "Without an auxiliary head, observations that are not bisimilar merge (share of pairs)",
        figure="all", source="text",
        experiment="collapse", metric="dynamics-only: share of pairs not bisimilar that merged",
        bound=Threshold("==", 1), conditions=("dynamics-only",),
    ),
}  # fmt: skip
