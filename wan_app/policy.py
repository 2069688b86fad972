"""REFUSE: a short list of wordings that this studio does not work from. On unless WAN_APP_REFUSE=0.

It reads the prompt, the words to say and the names of characters, as text, on this machine; the negative
prompt is free, for it says what shall not be there. Refused are

- sexual wording together with words for a child, in any request;
- sexual wording where a picture, a face or a voice is given, which may be that of a real person, and
  together with words for somebody who exists ("celebrity", "my neighbour");
- words for sex by force or without consent, and for undressing somebody.

What it does not do: it looks at no picture and at no result, knows no names of real people, and finds no
meaning, only words, in English and some of the commonest in German, French, Spanish, Italian, Portuguese,
Russian, Chinese and Japanese. Whoever wants to get around it can. Harmless sentences that hold such words
are refused too at times; the answer quotes the words, so that they can be put otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from wan_app.errors import InvalidRequest
from wan_app.types import GenerationRequest

_UNDER_18 = "(?:[1-9]|1[0-7])"
# Words by what they are about and by language, in lower case. Each stands for itself: no part of another word.
REFUSE: dict[str, dict[str, str]] = {
    "sexual": {
        "en": r"naked(?![ -](?:eyes?|mole|trees?|branch(?:es)?|flames?|truth|apes?)\b)|topless|nudity|nsfw|x-rated"
        r"|nudes?(?![ -](?:lipstick|colou?r(?:ed)?|tones?|shades?|heels|shoes|nails?|mouse|mice|pumps|palette)\b)"
        r"|(?<!same[ -])(?<!opposite )(?<!fairer )(?<!fair )sex(?! (?:education|pistols|and the city|ratio)\b)"
        r"|sexual(?:ly)?(?! (?:reproduction|dimorphism|health|orientation)\b)|porn|porno|pornstar|pornograph\w+"
        r"|erotic(?:a|ally)?|hentai|orgasms?|masturbat\w+|ejaculat\w+|blow ?jobs?|hand ?jobs?|cumshots?|gang ?bangs?"
        r"|fellatio|cunnilingus|penis(?:es)?|vaginas?|vulvas?|genital(?:s|ia)?|striptease"
        r"|mak(?:e|es|ing) love(?!,? not war)|(?:bare|naked|exposed) (?:breasts?|chest(?:ed)? woman)|bare-?breasted"
        r"|undress(?:es|ed|ing)?(?! (?:her|his|the|a|their) (?:dolls?|teddy|puppets?|mannequins?)\b)"
        r"|(?:remov|rip|tear|tak)\w* (?:off )?(?:her|his|their|all) (?:clothes|clothing|bra|underwear|panties)"
        r"|fuck(?:s|ed|ing)? (?:her|him|them|me|a|the)",
        "de": r"nackt(?:e[rnms]?)?(?! (?:fels\w*|stein\w*|erde|wand|wände|bäume|füssen?|tatsachen|wahrheit)\b)"
        r"|sexuell\w*|geschlechtsverkehr|erotisch\w*|entblösst\w*|masturbier\w*|entkleidet sich|zieht sich aus",
        "fr": r"(?:toute?|entièrement|complètement) nue?s?|(?:femmes?|hommes?|filles?|corps) nue?s?|dénudée?s?"
        r"|sexuel\w*|érotiques?|se déshabill\w+",
        "es": r"(?<!pies )(?<!pie )desnud[oa]s?|sexo|sexuales|eróticos?|eróticas?|se desnuda",
        "it": r"nud[oa]|(?<!piedi )nudi|sesso|sessual[ei]|erotic[oia]",
        "pt": r"(?:homem|corpo|completamente) nu|nuas?|pelad[oa]s?|erótic[oa]s?|sexualmente",
        "ru": r"гол(?:ый|ая|ые|ой|ую|ых)|обнаж[её]нн\w+|порно\w*|секс\w*|эротич\w+",
        "zh": "裸体|裸體|全裸|裸照|色情|性爱|性愛|做爱|做愛|性交|淫",
        "ja": "ヌード|セックス|エロ|ポルノ|全裸|裸の(?:女|男|体)",
    },
    "child": {
        "en": r"child(?:ren|like|ish)?|kids?|boys?|girls?|toddlers?|infants?|bab(?:y|ies)|pre-?teens?|teens?"
        r"|teenage(?:rs?|d)?|under-?aged?|minors?|school ?(?:girls?|boys?|kids?)|adolescents?|juveniles?|loli|shota"
        rf"|{_UNDER_18}[ -]?(?:years?|yrs?)[ -]old|{_UNDER_18} ?y/?o|aged? {_UNDER_18}",
        "de": r"kind(?:er|ern|es)?|mädchens?|jungs|kleine[rn]? jungen?|babys?|minderjährige?[rn]?|säuglinge?"
        rf"|schüler(?:in|innen|n)?|schulmädchen|jugendliche[rn]?|{_UNDER_18}[ -]?jährige?[rns]?",
        "fr": rf"enfants?|fillettes?|petites? filles?|garçons?|bébés?|mineure?s?|écoli(?:er|ère)s?|{_UNDER_18} ans",
        "es": rf"niñ[oa]s?|menor(?:es)?(?: de edad)?|colegialas?|bebés?|adolescentes?|{_UNDER_18} años",
        "it": rf"bambin[oaie]|ragazzin[oaie]|minorenn[ei]|neonat[oaie]|adolescent[ei]|{_UNDER_18} anni",
        "pt": rf"crianças?|menin[oa]s?|menor de idade|bebês?|{_UNDER_18} anos",
        "ru": r"реб[её]нок|реб[её]нка|дет(?:и|ей|ьми)|девоч(?:ка|ки|ку|ек)|мальчик\w*|несовершеннолетн\w+|школьни\w+",
        "zh": "儿童|兒童|小孩|孩子|未成年|幼女|女童|男童|萝莉|蘿莉|小学生|中学生|少女|(?:1[0-7]|[1-9])岁",
        "ja": "子供|子ども|こども|幼女|ロリ|未成年|小学生|中学生|女子高生|少年|少女|(?:1[0-7]|[1-9])歳",
    },
    # Harmless for grown-ups.
    "suggestive": {
        "en": r"sexy|seductive(?:ly)?|lingerie|sensual(?:ly)?|lolicon|shotacon|jailbait",
        "de": "sexy|verführerisch\\w*|reizwäsche", "fr": "sexy|lascive?s?|lingerie", "es": "sexy|lencería|sensual",
    },
    "exists": {
        "en": r"celebrit(?:y|ies)|politicians?|(?:the|our|us|french|american) president|prime minister|movie stars?"
        r"|my (?:ex|wife|husband|girlfriend|boyfriend|neighbou?r|co-?worker|colleague|boss|teacher|classmate|friend"
        r"|sister|brother|mother|father|mom|mum|dad|aunt|cousin|student)",
        "de": r"meine[rnms]? (?:ex|freundin|frau|mann|nachbarin|nachbar|kollegin|kollege|lehrerin|lehrer|schwester)"
        r"|promi(?:nente[rn]?)?",
        "fr": r"célébrités?|(?:ma|mon) (?:ex|femme|mari|copine|copain|voisine?|collègue|prof|sœur|amie?)",
        "es": r"famos[oa]s?|mi (?:ex|esposa|esposo|novia|novio|vecin[oa]|compañer[oa]|jef[ea]|profesor[a]?|hermana)",
    },
    "forced": {
        "en": r"non-?consensual(?:ly)?|rap(?:ed|ing)|rapes? (?:her|him|them|scene|fantasy|victims?|a (?:wo)?man)"
        r"|sexual(?:ly)? assault(?:s|ed|ing)?|molest(?:s|ed|ing)?|grop(?:es?|ed|ing) (?:her|him|them|a (?:wo)?man)"
        r"|revenge porn|deep ?fake (?:porn|nudes?)|nudif(?:y|ies|ied)|upskirts?|creep ?shots?"
        r"|undress(?:es|ed|ing)? (?:her|him|them)(?! (?:dolls?|teddy|puppets?|mannequins?|baby|child|kids?)\b)"
        r"|strip(?:s|ped|ping)? (?:her|him|them) (?:naked|nude|bare|down)",
        "de": r"vergewaltig\w*|rachepornos?|zieh(?:t|en)? (?:sie|ihn) (?:nackt )?aus",
        "fr": r"viole(?:r|nt)? (?:une?|la|le|cette) (?:femme|fille|homme|garçon)|déshabille(?:-la|-le| cette)",
        "es": r"viola (?:a )?(?:una|la|el|un) (?:mujer|chica|hombre)|violación sexual|desnúdal[ao]",
        "ru": r"изнасил\w+", "zh": "强奸|強姦|强暴|偷拍裙底|迷奸", "ja": "強姦|レイプ|盗撮",
    },
}
# Written without spaces between words.
_UNSPACED = ("zh", "ja")


def _pattern(topic: str) -> re.Pattern[str]:
    spaced = "|".join(words for language, words in REFUSE[topic].items() if language not in _UNSPACED)
    unspaced = [words for language, words in REFUSE[topic].items() if language in _UNSPACED]
    return re.compile("|".join([rf"(?<!\w)(?:{spaced})(?!\w)", *unspaced]))


_PATTERNS = {topic: _pattern(topic) for topic in REFUSE}


def refuse(request: GenerationRequest) -> None:
    """Raise InvalidRequest, naming the field and quoting the words, for what REFUSE holds."""
    texts = [("prompt", request.prompt), ("say", request.say)]
    texts += [("characters", one.name) for one in request.characters]
    plain = [(field, _plain(text)) for field, text in texts]
    if found := _first("forced", plain):
        field, words = found
        raise InvalidRequest(field, f'words for force or missing consent ("{words}")', "a request without them")
    given = bool(request.characters or request.image or request.last_image)
    exists, child = _first("exists", plain), _first("child", plain)
    sexual = _first("sexual", plain)
    if child and (sexual or (sexual := _first("suggestive", plain))):
        got = f'sexual words ("{sexual[1]}") together with a child ("{child[1]}")'
        raise InvalidRequest(sexual[0], got, "a request without them")
    if sexual and (given or exists):
        whom = f'somebody who exists ("{exists[1]}")' if exists else "a given picture, face or voice"
        raise InvalidRequest(sexual[0], f'sexual words ("{sexual[1]}") about {whom}', "a request without them")


def _first(topic: str, texts: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Field and words of the first match."""
    for field, text in texts:
        if match := _PATTERNS[topic].search(text):
            return field, match[0]
    return None


def _plain(text: str) -> str:
    """Lower case, one kind of letter for each, no invisible characters, `_` as a space."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    seen = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFC", seen).replace("_", " ").split())
