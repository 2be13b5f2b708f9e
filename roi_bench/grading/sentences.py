r"""The one number that a sentence states: ``It takes 18 hours``, ``therefore 18``. Pure, linear.

Used in numeric pools only. A sentence counts if the number is the only one in it, and no word makes it another number
or takes it back: negations (``does not have 18``), bounds (``at least 18``), parts and multiples (``half of 18``),
comparisons (``18 more than``), conditions (``if it were 18``), or a noun before it that it numbers (``step 18``).
"""

from __future__ import annotations

import re

from roi_bench.grading.answer_words import AskedWords, names_number

_VALUE = r"[-+]?(?:\\frac\s*\{[0-9]+\}\s*\{[0-9]+\}|\.?[0-9])"
_STATED = re.compile(
    rf"(?:(?:Mr|Mrs|Ms|Dr|St)\.|[A-Za-z'’ ,]|(?<=[A-Za-z])-(?=[A-Za-z]))*?(?:\A|(?<=\s)|[A-Za-z]\s*=\s*)(?={_VALUE})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?(?:\\frac\s*\{[0-9]+\}\s*\{[0-9]+\}|[0-9.]+(?:\s+[0-9]+)?(?:/[0-9]+)?)%?")
_WORDS_BEHIND = re.compile(r"[ ,(]*(?:[ ,(](?:[A-Za-z]{2}|a\s)[A-Za-z'’ ,()-]*)?[.\s]*")
_TIME = re.compile(r"\s*\(?(?:[ap]\.?\s?m\b|o'\s?clock)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]{2,}")
_TAKING_BACK = re.compile(
    r"\b(?:not|never|no|none|nobody|neither|nor|nothing|without|cannot|fail(?:s|ed)?|lack(?:s|ed)?|wrong(?:ly)?|incorrect(?:ly)?"
    r"|mistaken(?:ly)?|false(?:ly)?|instead|rather|unlike|except|excluding|or|half|let|(?:at\s+the\s+|(?<!the\s))(?:least|most)|twice|thrice|double|triple"
    r"|quadruple|minus|negative|plus|if|unless|whether|suppos(?:e|ing)|assum(?:e|ing)|imagine|pretend|might|maybe|perhaps"
    r"|possibly|probably|doubt[a-z]*|unlikely|den(?:y|ies|ied)|disagrees?|wish(?:es|ed)?|hop(?:e|es|ed)|could\s+be"
    r"|(?:could|should|would)\s+have\s+been|between|nearly|almost|barely|hardly|exceed(?:s|ed|ing)?|(?:multiplied|divided)\s+by|modulo|mod"
    r"|squared|cubed|factorial|reciprocal)\b|n['’]t\b",
    re.IGNORECASE,
)
_MAY = re.compile(r"\bmay\b")
_COMPARING = re.compile(r"\bthan\b|\bas\s+(?:many|much|few|little)\b", re.IGNORECASE)
_PART = re.compile(
    r"\b(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth|percent|root|power)s?\s+(?:of|as)\b",
    re.IGNORECASE,
)
_SOFT = (
    r"(?:\s+(?:just|only|exactly|about|approximately|roughly|around|another|an?|extra|the|these|those|his|her|their|all))*"
    r"\s*\Z"
)
_RELATED = re.compile(
    r"\b(?:over|under|above|below|beyond|within|past|near|towards?|until|till|from|among|times"
    r"|(?<=[a-z] )but|dozen|gross|add(?:ing)?"
    rf"|(?:up|close|prior|next)\s+to|to\s+the|close|power|base|exponent|point|square|cube|root|choose|reduce|round|first|last|next|previous|every"
    rf"|(?:multipl[a-z]+|divi(?:de|des|ded|ding|sible)|subtract(?:s|ed|ing)?)(?:\s+(?:it|them|this|that|by))*){_SOFT}",
    re.IGNORECASE,
)
_OF = re.compile(rf"(?:\b([a-z]+)\s+)?\bof{_SOFT}", re.IGNORECASE)
_WHOLES = """
total sum amount cost price profit loss average mean median distance length width height weight age score salary income
value balance population area volume perimeter speed rate change discount result answer remainder difference increase
decrease earnings savings bill fee payment capacity depth duration gain revenue count tally
elevation temperature budget deposit credit bonus
"""
_NUMBERED = re.compile(
    r"\b(problem|question|exercise|task|step|part|page|chapter|section|case|room|number|item|lesson|grade|level|figure|equation"
    r"|example|option|choice|version|day|week|month|year|round|row|column|gate|floor|bus|route|track|stage|phase|unit|verse"
    r"|quiz|theorem|lemma|method|trial|experiment|attempt|station|class|highway|january|february|march|april|june|july|august"
    r"|september|october|november|december)(?:\s+number)?\s*\Z",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\s*(?:(?:since|because|given|when|while|although|though|once|until|till)\b[^,]*\Z|(?:had|were|should)\s)",
    re.IGNORECASE,
)
_CIRCUMSTANCE = re.compile(r"\s*(?:after|before|with|by|in|for|at|on|during)\b[^,]*\Z", re.IGNORECASE)
_CLAUSE = re.compile(r",\s*(?:(?:he|she|it|they|we|you|there|the|this|that|his|her|its|their|each)\b|[A-Z])")
_AND_MORE = re.compile(
    r"\A[\s,(]*and\b|\band\s+(?:an?|some|several|few|many|more|half|change|another|others?|counting)\b", re.IGNORECASE
)


def stated(text: str, asked: AskedWords) -> str:
    """Return the number that a sentence states, with the words behind it; ``text`` itself if it states none.

    Args:
        text: An answer in LaTeX whose blanks are still there.
        asked: What the question says.
    """
    match = _STATED.match(text)
    if match is None:
        return text
    head, rest = match[0].rstrip(" ="), text[match.end() :]
    number = _NUMBER.match(rest)
    if number is None:
        return text
    value, tail = number[0], rest[number.end() :]
    if head and (_WORD.search(head) is None or _takes_back(head, tail, asked)):
        return text
    if _WORDS_BEHIND.fullmatch(tail) is None or _TIME.match(tail) is not None:
        return rest
    if _AND_MORE.search(tail) is not None or (not head and _TAKING_BACK.search(tail) is not None):
        return text
    words = [word for word in _WORD.findall(tail) if word != "and"]
    return " ".join((value, *words)) if words or not any(map(str.isalpha, tail)) else text


def _takes_back(head: str, tail: str, asked: AskedWords) -> bool:
    """Return whether words before or behind a number say something else than that it is so many."""
    if any(pattern.search(part) is not None for pattern in (_TAKING_BACK, _MAY, _PART) for part in (head, tail)):
        return True
    if _COMPARING.search(head) is not None or (not asked.compares and _COMPARING.search(tail) is not None):
        return True
    of = _OF.search(head)
    if _RELATED.search(head) is not None or (of is not None and (of[1] or "?").casefold() not in _WHOLES.split()):
        return True
    numbered = _NUMBERED.search(head)
    if numbered is not None and numbered[1].casefold() not in asked.numbered:
        return True
    if _REASON.match(head) is not None or (_CLAUSE.search(tail) and _CIRCUMSTANCE.match(head)):
        return True
    return names_number(head)
