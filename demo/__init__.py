"""A simulated plant: a database and sensor files, with faults whose truth is known.

``demo.write.make_plant`` writes it; ``demo/README.md`` gives the model and its equations.
"""
