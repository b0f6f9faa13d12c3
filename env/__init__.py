"""What can be seen: one shared scene, from any pose. No agents, no learning.

Importing this package tells Gymnasium about ``SocialJEPA/SharedScene-v0`` by name alone; OpenGL is touched
only when a MiniWorld renderer is built.
"""

import gymnasium

gymnasium.register(id="SocialJEPA/SharedScene-v0", entry_point="env.shared_scene:SharedScene")
