"""Interfaces of other packages to this one. Nothing else imports them.

scikit_learn  an estimator: fit, transform, inverse_transform and score over `alignment.embeddings`
    latentis      its spaces as tables of embeddings and back, and maps as its transforms
"""
