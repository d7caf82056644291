"""Panorax beside the programs people would use instead: `panorax bench` lists the comparisons, `panorax bench NAME` makes one.

Every contender lives in a process of its own and does nothing while another has its turn; turns alternate, in another order every round, and a round
in which other programs used the cores is taken again. A ratio is made within a round, and what is reported is its median and range over the rounds.
Both do the same work: the numbers that show it (first losses, greedy tokens, returns) come from the processes that are timed. Compilation is
counted apart, and everything that is not Panorax is an extra: `pip install 'panorax[bench]'`.
"""
