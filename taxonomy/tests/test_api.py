"""Categories and teams over HTTP. What both kinds share is tested on both."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.tests.factories import api_client, make_user
from taxonomy.models import JobCategory, PicTeam
from taxonomy.tests.factories import general, make_category, make_team

CATEGORIES = "/api/v2/job-categories"
TEAMS = "/api/v2/pic-teams"
UNKNOWN_ID = "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10"
SEEDED = [
    "Backward Compatibility",
    "DR Testing",
    "Feature Testing",
    "General",
    "Prod/Canary",
    "Refund",
    "Regression",
]


@pytest.fixture
def client(admin):
    return api_client(admin)


@pytest.fixture
def viewer_client(charlie):
    return api_client(charlie)


def refusal(response):
    """Return the status with the two texts a person may see."""
    body = response.json()
    return response.status_code, body["error"], body.get("message")


# --- Listing ---------------------------------------------------------------------------------------------------------


def test_an_installation_starts_with_seven_categories_and_no_team(viewer_client):
    categories = viewer_client.get(CATEGORIES).json()["categories"]
    assert [category["name"] for category in categories] == SEEDED
    assert viewer_client.get(TEAMS).json() == {"pic_teams": []}


@pytest.mark.database
def test_lists_are_by_name_ignoring_case(viewer_client):
    for name in ("beta", "Alpha", "Gamma", "alpha 2"):
        make_team(name=name)
    teams = viewer_client.get(TEAMS).json()["pic_teams"]
    assert [team["name"] for team in teams] == ["Alpha", "alpha 2", "beta", "Gamma"]


def test_a_listed_team_has_exactly_the_documented_keys(viewer_client):
    make_team(name="Ops", slack_handle="@ops")
    [team] = viewer_client.get(TEAMS).json()["pic_teams"]
    assert set(team) == {"id", "slug", "name", "slack_handle", "is_active", "created_at", "updated_at"}
    assert team["created_at"].endswith("Z")


@pytest.mark.parametrize("word, names", [("true", ["A", "B"]), ("1", ["A", "B"]), ("no", ["A"]), (None, ["A"])])
def test_admins_may_see_disabled_teams(client, word, names):
    make_team(name="A")
    make_team(name="B", is_active=False)
    teams = client.get(TEAMS, {} if word is None else {"include_inactive": word}).json()["pic_teams"]
    assert [team["name"] for team in teams] == names


def test_others_never_see_disabled_teams(viewer_client):
    make_team(name="B", is_active=False)
    assert viewer_client.get(TEAMS, {"include_inactive": "true"}).json() == {"pic_teams": []}


@pytest.mark.parametrize("word", ["", "maybe", "2"])
def test_a_boolean_that_is_none_is_a_schema_error(viewer_client, word):
    response = viewer_client.get(TEAMS, {"include_inactive": word})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "include_inactive"]


def test_lists_can_be_searched_and_ordered(viewer_client):
    for name in ("Night watch", "Day watch", "Other"):
        make_team(name=name)
    teams = viewer_client.get(TEAMS, {"search": "WATCH", "ordering": "-name"}).json()["pic_teams"]
    assert [team["name"] for team in teams] == ["Night watch", "Day watch"]


@pytest.mark.parametrize(
    "query, error",
    [({"ordering": "size"}, "Invalid ordering"), ({"search": "a\x00"}, "Invalid search")],
)
def test_wrong_optional_parameters_are_400(viewer_client, query, error):
    response = viewer_client.get(TEAMS, query)
    assert (response.status_code, response.json()["error"]) == (400, error)


# --- Creating --------------------------------------------------------------------------------------------------------


def test_a_category_gets_its_slug_from_its_name(client):
    response = client.post(CATEGORIES, {"name": "  Night Shift  "})
    body = response.json()
    assert (response.status_code, body["message"]) == (201, "Category created")
    assert (body["category"]["name"], body["category"]["slug"]) == ("Night Shift", "night-shift")
    assert JobCategory.objects.get(slug="night-shift").is_active


def test_a_team_is_created_with_its_handle(client):
    body = client.post(TEAMS, {"name": "Ops", "slack_handle": " @ops ", "is_active": False}).json()
    assert body["message"] == "PIC team created"
    assert (body["pic_team"]["slack_handle"], body["pic_team"]["is_active"]) == ("@ops", True)


def test_a_slug_may_be_chosen_and_is_slugified(client):
    body = client.post(CATEGORIES, {"name": "Night", "slug": "Grave Yard"}).json()
    assert body["category"]["slug"] == "grave-yard"


@pytest.mark.parametrize("slug", [None, "", "  "])
def test_a_blank_slug_comes_from_the_name(client, slug):
    assert client.post(CATEGORIES, {"name": "Night", "slug": slug}).json()["category"]["slug"] == "night"


@pytest.mark.parametrize(
    "sent, answer",
    [
        ({}, (400, "Missing required fields", '"name" is required.')),
        ({"name": None}, (400, "Missing required fields", '"name" is required.')),
        ({"name": "  "}, (400, "Missing required fields", '"name" is required.')),
        ({"name": 5}, (400, "Invalid payload", '"name" must be a string.')),
        ({"name": ["a"]}, (400, "Invalid payload", '"name" must be a string.')),
        ({"name": "a", "slug": 5}, (400, "Invalid payload", '"slug" must be a string.')),
        ({"name": "日本"}, (400, "Invalid slug", "Unable to generate a valid slug from name.")),
        ({"name": "a", "slug": "--"}, (400, "Invalid slug", "Unable to generate a valid slug from name.")),
        ({"name": "a" * 256}, (400, "Invalid name", "Name must be at most 255 characters.")),
        ({"name": "a" * 101}, (400, "Invalid slug", "Slug must be at most 100 characters.")),
        ({"name": "general"}, (409, "Duplicate slug", 'Category slug "general" already exists.')),
    ],
)
def test_categories_that_are_refused(client, sent, answer):
    assert refusal(client.post(CATEGORIES, sent)) == answer
    assert JobCategory.objects.count() == len(SEEDED)


@pytest.mark.parametrize(
    "sent, answer",
    [
        ({"slack_handle": "@a"}, (400, "Missing required fields", '"name" is required.')),
        ({"name": "a"}, (400, "Missing required fields", '"slack_handle" is required.')),
        ({"name": "日本", "slack_handle": ""}, (400, "Missing required fields", '"slack_handle" is required.')),
        (
            {"name": "a", "slack_handle": "@" * 256},
            (400, "Invalid slack_handle", "slack_handle must be at most 255 characters."),
        ),
        ({"name": "a", "slack_handle": False}, (400, "Invalid payload", '"slack_handle" must be a string.')),
    ],
)
def test_teams_that_are_refused(client, sent, answer):
    assert refusal(client.post(TEAMS, sent)) == answer
    assert not PicTeam.objects.exists()


def test_the_slug_of_a_disabled_team_stays_taken(client):
    make_team(name="Ops", is_active=False)
    answer = refusal(client.post(TEAMS, {"name": "OPS", "slack_handle": "@x"}))
    assert answer == (409, "Duplicate slug", 'PIC team slug "ops" already exists.')


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_of_many_who_take_one_slug_at_once_one_succeeds():
    user = make_user(role="admin")
    clients = [api_client(user) for _ in range(4)]

    def create(client):
        try:
            return client.post(TEAMS, {"name": "Race", "slack_handle": "@r"}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(clients)) as pool:
        statuses = sorted(pool.map(create, clients))
    assert statuses == [201, 409, 409, 409]


# --- Changing --------------------------------------------------------------------------------------------------------


def test_a_new_name_gives_a_new_slug(client):
    team = make_team(name="Ops")
    body = client.put(f"{TEAMS}/{team.id}", {"name": "Site Reliability"}).json()
    assert body["message"] == "PIC team updated"
    assert body["pic_team"]["slug"] == "site-reliability"
    assert body["jobs_updated"] == 0


def test_the_same_name_realigns_a_slug_that_was_chosen(client):
    category = make_category(name="Night", slug="graveyard")
    body = client.put(f"{CATEGORIES}/{category.id}", {"name": "Night"}).json()
    assert body["category"]["slug"] == "night"


def test_an_empty_change_is_fine(client):
    team = make_team(name="Ops", slack_handle="@ops")
    body = client.put(f"{TEAMS}/{team.id}", {}).json()
    assert (body["pic_team"]["name"], body["pic_team"]["slack_handle"], body["jobs_updated"]) == ("Ops", "@ops", 0)


@pytest.mark.parametrize("value, active", [(False, False), ("no", False), (0, False), (None, True), ("yes", True)])
def test_a_team_is_disabled_and_enabled_by_its_flag(client, value, active):
    team = make_team()
    assert client.put(f"{TEAMS}/{team.id}", {"is_active": value}).json()["pic_team"]["is_active"] is active


@pytest.mark.parametrize(
    "sent, answer",
    [
        ({"name": ""}, (400, "Invalid name", "Name cannot be empty.")),
        ({"name": None}, (400, "Invalid name", "Name cannot be empty.")),
        ({"name": "日本"}, (400, "Invalid slug", "Unable to generate a valid slug from name.")),
        ({"name": "General"}, (409, "Duplicate slug", 'Category slug "general" already exists.')),
        ({"name": "a" * 256}, (400, "Invalid name", "Name must be at most 255 characters.")),
        ({"slug": "x"}, (400, "Invalid payload", "Slug cannot be edited directly; it is derived from name.")),
        ({"slug": None}, (400, "Invalid payload", "Slug cannot be edited directly; it is derived from name.")),
    ],
)
def test_changes_of_a_category_that_are_refused(client, sent, answer):
    category = make_category(name="Night")
    assert refusal(client.put(f"{CATEGORIES}/{category.id}", {"is_active": False, **sent})) == answer
    category.refresh_from_db()
    assert (category.name, category.slug, category.is_active) == ("Night", "night", True)


@pytest.mark.parametrize("handle", ["", None, "  "])
def test_a_team_keeps_a_handle(client, handle):
    team = make_team()
    answer = refusal(client.put(f"{TEAMS}/{team.id}", {"slack_handle": handle}))
    assert answer == (400, "Invalid slack_handle", "slack_handle cannot be empty.")


@pytest.mark.parametrize("name", ["Common", "general", "日本", "Refund"])
def test_general_keeps_its_name(client, name):
    answer = refusal(client.put(f"{CATEGORIES}/{general().id}", {"name": name}))
    assert answer == (400, "Invalid category", 'The "General" category cannot be renamed.')


def test_general_may_be_sent_its_own_name(client):
    response = client.put(f"{CATEGORIES}/{general().id}", {"name": "General", "is_active": False})
    assert (response.status_code, response.json()["category"]["slug"]) == (200, "general")


def test_a_team_may_be_called_general_and_renamed(client):
    team = make_team(name="General")
    assert client.put(f"{TEAMS}/{team.id}", {"name": "Special"}).json()["pic_team"]["slug"] == "special"


@pytest.mark.parametrize("label_id", [UNKNOWN_ID, "nonsense", "%00", UNKNOWN_ID.upper()])
def test_unknown_ids_are_404_with_the_id_in_the_text(client, label_id):
    shown = label_id.replace("%00", "\x00")
    for path, noun in ((CATEGORIES, "category"), (TEAMS, "PIC team")):
        expected = (404, "Not found", f"No {noun} found with ID: {shown}")
        assert refusal(client.put(f"{path}/{label_id}", {"name": 5})) == expected
        assert refusal(client.delete(f"{path}/{label_id}")) == expected


def test_the_body_is_looked_at_before_the_id(client):
    response = client.put(f"{TEAMS}/{UNKNOWN_ID}", "[]", content_type="application/json")
    assert refusal(response) == (400, "Invalid payload", "JSON body must be an object.")


# --- Disabling -------------------------------------------------------------------------------------------------------


def test_deleting_only_disables_and_may_be_repeated(client):
    category = make_category(name="Night")
    for _ in range(2):
        body = client.delete(f"{CATEGORIES}/{category.id}").json()
        assert (body["message"], body["category"]["is_active"]) == ("Category disabled", False)
    assert JobCategory.objects.filter(slug="night", is_active=False).exists()


def test_a_single_label_cannot_be_read(viewer_client, client):
    for reader in (viewer_client, client):
        response = reader.get(f"{TEAMS}/{make_team().id}")
        assert response.status_code == 405
        assert set(response["Allow"].split(", ")) == {"PUT", "DELETE"}
