"""What the packages of agents share: field ranges, errors of settings, random streams, atomic files."""
