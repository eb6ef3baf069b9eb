import pytest

from taxonomy.lookup import LabelIndex
from taxonomy.models import PicTeam, slugify
from taxonomy.tests.factories import make_team

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "text, slug",
    [
        ("  Prod / Canary  ", "prod-canary"),
        ("DR Testing", "dr-testing"),
        ("--a__b--", "a-b"),
        # Letters outside a-z are not transliterated, as in the older service.
        ("Über", "ber"),
        ("日本", ""),
        ("", ""),
    ],
)
def test_slugs_keep_only_ascii_letters_and_digits(text, slug):
    assert slugify(text) == slug


@pytest.fixture(params=["query", "index"])
def find(request):
    """Both ways to look up must agree."""
    if request.param == "query":
        return PicTeam.objects.find
    return lambda value: LabelIndex(PicTeam.objects.all()).find(value)


@pytest.mark.parametrize("value", ["dev-ops", "Dev Ops", "  DEV   ops ", "dev_ops"])
@pytest.mark.database
def test_a_label_is_found_by_anything_that_gives_its_slug(find, value):
    team = make_team(name="Dev Ops")
    make_team(name="Other")
    assert find(value) == team


@pytest.mark.parametrize("value", ["plattform", "PLATTFORM", " Plattform "])
@pytest.mark.database
def test_a_label_with_a_slug_of_its_own_is_found_by_name_ignoring_case(find, value):
    team = make_team(name="Plattform", slug="p1")
    assert find(value) == team


@pytest.mark.database
def test_names_in_other_alphabets_are_compared_ignoring_case(find):
    team = make_team(name="Über", slug="other")
    assert find("ÜBER") == team


def test_a_slug_wins_over_a_name(find):
    make_team(name="ops", slug="something")
    by_slug = make_team(name="Operations", slug="ops")
    assert find("OPS") == by_slug


def test_of_two_labels_with_one_name_the_oldest_is_found(find):
    oldest = make_team(name="Night", slug="night-1")
    make_team(name="night", slug="night-2")
    assert find("NIGHT") == oldest


def test_disabled_labels_are_found_too(find):
    team = make_team(name="Gone", is_active=False)
    assert find("gone") == team


@pytest.mark.parametrize("value", ["", "   ", "日本", "nobody"])
def test_what_names_nothing_finds_nothing(find, value):
    make_team(name="Somebody")
    assert find(value) is None
