"""Comparisons of Panorax with other programs.

`panorax bench` lists the comparisons, `panorax bench NAME` runs one.

Each contender runs in a process of its own and idles while another has its turn. The order of the
turns reverses every round, and a turn that other programs disturbed is repeated. A ratio divides
two rates of one round; the table gives its median and range over the rounds.

All contenders do the same work. The timed processes themselves report the evidence: first losses,
greedy tokens, returns. Compilation is counted separately. The other programs are an extra:
`pip install 'panorax[bench]'`.
"""
