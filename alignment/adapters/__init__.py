"""Interfaces of other packages to this one. Each needs its package, so nothing else imports them.

scikit_learn  an estimator: fit, transform, inverse_transform and score over `alignment.embeddings`
"""
