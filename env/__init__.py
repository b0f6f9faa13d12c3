"""Environments without agents or learning: a shared scene, a world of shapes to count, and single objects.

Importing this package registers ``SocialJEPA/SharedScene-v0``, ``SocialJEPA/Steering-v0`` and
``SocialJEPA/Counting-v0`` with Gymnasium by entry point; OpenGL is loaded only when a MiniWorld renderer is
built.
"""

import gymnasium

gymnasium.register(id="SocialJEPA/SharedScene-v0", entry_point="env.gym.shared_scene:SharedScene")
gymnasium.register(id="SocialJEPA/Steering-v0", entry_point="env.gym.steering:Steering")
gymnasium.register(id="SocialJEPA/Counting-v0", entry_point="env.gym.counting:Counting")
