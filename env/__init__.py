"""What can be seen: one shared scene from any pose, shapes to count, single objects. No agents, no learning.

Importing this package tells Gymnasium about ``SocialJEPA/SharedScene-v0``, ``SocialJEPA/Steering-v0`` and
``SocialJEPA/Counting-v0`` by name alone; OpenGL is touched only when a MiniWorld renderer is built.
"""

import gymnasium

gymnasium.register(id="SocialJEPA/SharedScene-v0", entry_point="env.gym.shared_scene:SharedScene")
gymnasium.register(id="SocialJEPA/Steering-v0", entry_point="env.gym.steering:Steering")
gymnasium.register(id="SocialJEPA/Counting-v0", entry_point="env.gym.counting:Counting")
