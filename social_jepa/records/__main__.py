"""``python -m social_jepa.records`` prints the JSON Schema of graph.json: graph.schema.json is its output."""

import json
import sys

from social_jepa.records.graph import graph_schema

if __name__ == "__main__":
    sys.stdout.write(json.dumps(graph_schema(), indent=2) + "\n")
