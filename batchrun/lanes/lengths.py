"""Lengths of answers [tokens], learnt from the usage that comes back: of a whole run, and of its latest answers."""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable


class Lengths:
    """How many answers had which length: exact, and no larger than the number of different lengths."""

    def __init__(self, lengths: Iterable[int] = ()) -> None:
        self._answers = Counter(lengths)

    def __repr__(self) -> str:
        return f"Lengths({self.answers} answers, the longest {self.longest})"

    def add(self, length: int) -> None:
        """Count an answer."""
        self._answers[length] += 1

    @property
    def answers(self) -> int:
        """Return how many there were."""
        return self._answers.total()

    @property
    def longest(self) -> int:
        """Return the longest of them, 0 without any."""
        return max(self._answers, default=0)

    @property
    def mean(self) -> float:
        """Return the mean of them, 0 without any."""
        return sum(length * times for length, times in self._answers.items()) / max(self.answers, 1)

    def within(self, share: float) -> int:
        """Return the length that at least `share` of the answers stay within, 0 without any."""
        wanted, within = share * self.answers, 0
        for length in sorted(self._answers):
            within += self._answers[length]
            if within >= wanted:
                return length
        return 0


class Measured:
    """One answer as the learning sees it; its length is a guess from when it was cut until it is known."""

    __slots__ = ("length", "number")

    def __init__(self, length: int) -> None:
        self.length = length
        self.number = -1  # in the order in which windows take them


class LatestLengths:
    """The latest answers, sorted: a length that the next one exceeds with a given probability at most.

    If the next answer is drawn like the n before it, it is equally likely to take any of the n + 1 places among them,
    so it exceeds the k-th longest of them with a probability of k / (n + 1) at most, whatever the distribution. One
    answer in costs a binary search and a move of at most `size` pointers, below 2 µs.
    """

    def __init__(self, size: int, longer: float) -> None:
        """Take how many answers to remember, and the share of further ones that may be longer."""
        self._size = size
        self._longer = longer
        self._answers: deque[Measured] = deque()
        self._sorted: list[int] = []
        self._sum = 0
        self._taken = 0

    def __repr__(self) -> str:
        return f"LatestLengths({len(self)} of {self._size} answers, {100 * self._longer:g} % above {self.needed()})"

    def __len__(self) -> int:
        return len(self._sorted)

    def take(self, answer: Measured) -> None:
        """Remember one more, and forget the oldest beyond the size."""
        if len(self._answers) == self._size:
            self._remove(self._answers.popleft().length)
        answer.number = self._taken
        self._taken += 1
        self._answers.append(answer)
        self._add(answer.length)

    def correct(self, answer: Measured, length: int) -> None:
        """Give an answer that is perhaps still remembered another length; the answer itself is left as it is."""
        if answer.number >= self._taken - len(self._answers):
            self._remove(answer.length)
            self._add(length)

    @property
    def mean(self) -> float:
        """Return the mean of the lengths remembered, 0 without any."""
        return self._sum / max(len(self), 1)

    @property
    def longest(self) -> int:
        """Return the longest length remembered, 0 without any."""
        return self._sorted[-1] if self._sorted else 0

    def needed(self) -> int | None:
        """Return the least length that the next answer exceeds with no more than the share; None: too few are known."""
        place = int(self._longer * (len(self._sorted) + 1))
        return self._sorted[-place] if place else None

    def _add(self, length: int) -> None:
        insort(self._sorted, length)
        self._sum += length

    def _remove(self, length: int) -> None:
        self._sum -= length
        del self._sorted[bisect_left(self._sorted, length)]
