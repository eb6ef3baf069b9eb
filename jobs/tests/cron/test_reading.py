"""Which expressions are accepted, and what those that are refused get to hear."""

import pytest

from jobs import cron

FIVE_FIELDS = "Cron expression must have exactly 5 fields (minute hour day month day-of-week)."


def refusal(expression: object) -> cron.CronError:
    with pytest.raises(cron.CronError) as caught:
        cron.parse(expression)  # type: ignore[arg-type]  # wrong types are part of the subject
    return caught.value


def test_a_schedule_holds_the_numbers_of_each_field():
    schedule = cron.parse("\t 5,1-3 */6 10-20/5 JAN,dec 5-7 ")
    assert schedule.expression == "5,1-3 */6 10-20/5 JAN,dec 5-7"
    assert schedule.minutes == (1, 2, 3, 5)
    assert schedule.hours == (0, 6, 12, 18)
    assert schedule.days == (10, 15, 20)
    assert schedule.months == (1, 12)
    assert schedule.weekdays == (0, 5, 6)


@pytest.mark.parametrize("blank", [None, "", " ", "\t \t", "\n", "\u3000"])
def test_a_blank_expression_is_required(blank):
    assert refusal(blank).message == "Cron expression is required."


@pytest.mark.parametrize("value", [5, True, b"0 2 * * *", ["0 2 * * *"], {}])
def test_only_text_is_an_expression(value):
    assert refusal(value).message == "Cron expression must be text."


def test_an_expression_has_at_most_100_characters():
    longest = "0 0 * * 01" + ",1" * 45
    assert len(longest) == 100
    assert cron.parse(f"  {longest}  ").weekdays == (1,)
    assert refusal(f"0{longest}").message == "Cron expression must be at most 100 characters."


@pytest.mark.parametrize(
    "expression, hint",
    [
        ("0 2 * *", "Found 4 of 5 fields"),
        ("every night", "Found 2 of 5 fields"),
        ("0 0 2 * * *", "If the first field is seconds, write 0 2 * * *; if the last one is years, write 0 0 2 * *"),
        ("0 0 2 * * ?", "Write 0 2 * * *"),
        ("0 0 2 ? * MON 2026", "Leave out the year; the end date says when a job stops."),
        ("0 2 * * * 2026", "Leave out the year; the end date says when a job stops."),
        ("0 2 * * * echo hello", "Leave out the command: write 0 2 * * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
        ("@reboot", "not supported"),
        ("@every 5m", "*/5 * * * *"),
        ("@fortnightly", "Found 1 of 5"),
        ("CRON_TZ=Asia/Tokyo 0 2 * * *", "time zone is a setting"),
        ("TZ=UTC 0 2 * * *", "time zone is a setting"),
    ],
)
def test_another_number_of_fields_gets_the_contracts_sentence_and_a_way_out(expression, hint):
    error = refusal(expression)
    assert (error.message, error.field, str(error)) == (FIVE_FIELDS, None, FIVE_FIELDS)
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    "expression, field, hint",
    [
        # values out of range
        ("60 * * * *", "minute", "0-59"),
        ("0 24 * * *", "hour", "0-23"),
        ("0 0 0 * *", "day-of-month", "1-31"),
        ("0 0 32 * *", "day-of-month", "1-31"),
        ("0 0 * 0 *", "month", "1-12 or JAN-DEC"),
        ("0 0 * 13 *", "month", "1-12 or JAN-DEC"),
        ("0 0 * * 8", "day-of-week", "0 and 7 are Sunday"),
        ("0 9-24 * * *", "hour", "0-23"),
        ("60/5 * * * *", "minute", "0-59"),
        (f"{'9' * 90} * * * *", "minute", "0-59"),
        # other dialects
        ("? * * * *", "minute", "Write *"),
        ("0 0 ? * 1", "day-of-month", "Write *"),
        ("0 0 * * ?", "day-of-week", "Write *"),
        ("0 0 15W * *", "day-of-month", "1-5 in day-of-week"),
        ("0 0 LW * *", "day-of-month", "1-5 in day-of-week"),
        ("0 0 W * *", "day-of-month", "1-5 in day-of-week"),
        ("H * * * *", "minute", "Write a number"),
        ("0 H(0-7) * * *", "hour", "Write a number"),
        ("h/15 * * * *", "minute", "Write a number"),
        ("R 0 * * *", "minute", "Write a number"),
        ("0 0 L-3 * *", "day-of-month", "No five fields say it"),
        ("-1 * * * *", "minute", "Write 0-59."),
        ("0 0 -1 * *", "day-of-month", "Write L for the last day of the month"),
        ("0 0 1,L * *", "day-of-month", "nothing else in this field"),
        ("0 0 L/2 * *", "day-of-month", "nothing else in this field"),
        ("0 0 5L * *", "day-of-month", "5#4 or 5#5 in day-of-week"),
        ("0 0 15L * *", "day-of-month", "1-31"),
        ("0 0 * * 5L", "day-of-week", "5#4"),
        ("0 0 * * FRIL", "day-of-week", "FRI#4"),
        ("0 0 * * L", "day-of-week", "6#4"),
        ("0 0 * L *", "month", "1-12"),
        ("0 L * * *", "hour", "0-23"),
        ("@daily * * * *", "minute", "0-59"),
        # steps
        ("*/0 * * * *", "minute", "at least 1"),
        ("0 0/00 * * *", "hour", "at least 1"),
        ("/5 * * * *", "minute", "*/5"),
        ("*/ * * * *", "minute", "*/5"),
        ("*/x * * * *", "minute", "whole number"),
        ("x/y * * * *", "minute", "0-59"),
        ("0 22-2/x * * *", "hour", "whole number"),
        ("*/-5 * * * *", "minute", "whole number"),
        ("*/2.5 * * * *", "minute", "whole number"),
        ("*/5/5 * * * *", "minute", "whole number"),
        # lists and ranges
        (",1 * * * *", "minute", "extra comma"),
        ("1,,2 * * * *", "minute", "extra comma"),
        ("0 1, * * *", "hour", "extra comma"),
        ("-5 * * * *", "minute", "0-59"),
        ("5- * * * *", "minute", "0-59"),
        ("1-2-3 * * * *", "minute", "0-59"),
        ("*-5 * * * *", "minute", "0-59"),
        ("** * * * *", "minute", "0-59"),
        ("+5 * * * *", "minute", "0-59"),
        ("1_0 * * * *", "minute", "0-59"),
        ("1.5 * * * *", "minute", "0-59"),
        ("0x5 * * * *", "minute", "0-59"),
        # names
        ("0 0 * * MONDAY", "day-of-week", "Write MON."),
        ("0 0 * * Tues-FRI", "day-of-week", "Write TUE."),
        ("0 0 * january *", "month", "Write JAN."),
        ("0 0 * MON *", "month", "1-12 or JAN-DEC"),
        ("0 0 * * JUL", "day-of-week", "0-7 or SUN-SAT"),
        ("0 0 MON * *", "day-of-month", "1-31"),
        ("0 MON * * *", "hour", "0-23"),
        ("0 0 * * */MON", "day-of-week", "whole number"),
        # the k-th weekday
        ("0 0 * * 1#0", "day-of-week", "1#1 to 1#5"),
        ("0 0 * * MON#6", "day-of-week", "1#1 to 1#5"),
        ("0 0 * * 1#", "day-of-week", "1#1 to 1#5"),
        ("0 0 * * #1", "day-of-week", "0-7"),
        ("0 0 * * 1-5#1", "day-of-week", "0-7"),
        ("0 0 * * 1#1/2", "day-of-week", "1#1 to 1#5"),
        ("0 0 * * 8#1", "day-of-week", "0-7"),
        ("0 0 * * *#1", "day-of-week", "0-7"),
        ("0 0 1#1 * *", "day-of-month", "1#1 there"),
        ("0 0 1 * 1#1", "day-of-week", "Write * in day-of-month."),
        ("0 0 */2 * 1#1", "day-of-week", "Write * in day-of-month."),
        ("0 0 L * 1#1", "day-of-week", "Write * in day-of-month."),
        # dates that never come
        ("0 0 31 2 *", "day-of-month", "Write L"),
        ("0 0 30-31 2 *", "day-of-month", "Write L"),
        ("0 0 31 4,6,9,11 *", "day-of-month", "Write L"),
        ("0 0 31 SEP *", "day-of-month", "Write L"),
        ("0 0 30 2 */2", "day-of-month", "Write L"),
    ],
)
def test_a_refusal_names_the_field_and_helps(expression, field, hint):
    error = refusal(expression)
    assert error.field == field
    assert error.message.startswith(f'Invalid {field} field "')
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    "expression, field, better",
    [
        ("0 22-2 * * *", "hour", "22-23,0-2"),
        ("0 22-0 * * *", "hour", "22-23,0"),
        ("0 23-1 * * *", "hour", "23,0-1"),
        ("0 22-3/2 * * *", "hour", "0,2,22"),
        ("50-10 * * * *", "minute", "50-59,0-10"),
        ("0 0 25-5 * *", "day-of-month", "25-31,1-5"),
        ("0 0 * NOV-FEB *", "month", "11-12,1-2"),
        ("0 0 * * FRI-MON", "day-of-week", "5-7,1"),
        ("0 0 * * FRI-SUN", "day-of-week", "5-7"),
        ("0 0 * * 5-0", "day-of-week", "5-7"),
        ("0 0 * * 6-2", "day-of-week", "6-7,1-2"),
        ("0 0 * * 7-2", "day-of-week", "0-2"),
        ("0 0 * * 7-4/2", "day-of-week", "0-4/2"),
        ("0 0 * * 5-1/2", "day-of-week", "0,5"),
    ],
)
def test_a_range_that_runs_backwards_is_proposed_the_way_round_that_works(expression, field, better):
    error = refusal(expression)
    assert (error.field, error.hint) == (field, f"Write {better}.")
    wrong = next(column for column in expression.split() if "-" in column)
    assert cron.parse(expression.replace(wrong, better)).warnings == ()


@pytest.mark.parametrize(
    "expression, field, hint",
    [
        ("٣ * * * *", "minute", "Write 3 * * * *"),
        ("0 २ * * *", "hour", "Write 0 2 * * *"),
        ("０ ２ ＊ ＊ ＊", "minute", "Write 0 2 * * *"),
        ("0\u00a02 * * *", None, "Write 0 2 * * *"),
        ("0\u30002\u3000*\u3000*\u3000*", None, "Write 0 2 * * *"),
        ("0 2 * * *\n", "day-of-week", "Write 0 2 * * *"),
        ("0 2 *\r\n* *", None, "Write 0 2 * * *"),
        ("0 2 * * *\x0b", "day-of-week", "Write 0 2 * * *"),
        ("0 2 * * *\x00", "day-of-week", "Type digits and blanks as plain ASCII"),
        ("0 2 * * 月", "day-of-week", "Type digits and blanks as plain ASCII"),
        ("0 2 * * \udc80", "day-of-week", "Type digits and blanks as plain ASCII"),
        ("²/5 * * * *", "minute", "Write 2/5 * * * *"),
    ],
)
def test_anything_but_plain_ascii_is_refused(expression, field, hint):
    error = refusal(expression)
    assert error.field == field
    assert error.message.isascii()
    assert hint in str(error.hint)


def test_a_date_that_never_comes_is_better_paused():
    assert "never runs; pause the job instead" in refusal("0 0 31 2 *").message


@pytest.mark.parametrize(
    "expression",
    ["0 0 29 2 *", "0 0 31 2 1", "0 0 30,1 2 *", "0 0 L 2 *", "0 0 31 2,3 *", "0 0 * 2 1#5", "0 0 29 2 */6"],
)
def test_a_date_that_comes_in_some_year_is_accepted(expression):
    assert cron.parse(expression).expression == expression


@pytest.mark.parametrize(
    "expression, first",
    [
        ("*/90 * * * *", 'minute "*/90" leads beyond the field: it means 0 only.'),
        ("0 */24 * * *", 'hour "*/24" leads beyond the field: it means 0 only.'),
        ("0 0 10-12/5 * *", 'day-of-month "10-12/5" leads beyond the field: it means 10 only.'),
        ("55/10 * * * *", 'minute "55/10" leads beyond the field: it means 55 only.'),
    ],
)
def test_a_step_beyond_the_field_is_accepted_with_a_warning(expression, first):
    (warning,) = cron.parse(expression).warnings
    assert warning.endswith(first)


@pytest.mark.parametrize(
    "expression, proposal",
    [
        ("0 9 1-7 * 1", "0 9 * * 1#1"),
        ("*/5 9 8-14 jan MON", "*/5 9 * jan 1#2"),
        ("0 9 15-21 * 7", "0 9 * * 0#3"),
        ("0 9 22-28 * FRI", "0 9 * * 5#4"),
    ],
)
def test_a_week_of_the_month_beside_a_weekday_is_doubted(expression, proposal):
    (warning,) = cron.parse(expression).warnings
    assert warning.endswith(f"write: {proposal}")
    assert cron.parse(proposal).warnings == ()


@pytest.mark.parametrize(
    "expression", ["0 10,12 3-20 * 1-5", "0 0 13 * 5", "0 9 1-7 * 1-5", "0 0 29-31 * 1", "0 0 L * 5", "0 0 1-31 * 1"]
)
def test_two_restricted_day_fields_are_doubted(expression):
    _, _, days, _, weekdays = expression.split()
    (warning,) = cron.parse(expression).warnings
    assert warning.startswith(f"Runs on day-of-month {days} and also on every day-of-week {weekdays},")


@pytest.mark.parametrize(
    "expression",
    ["0 2 * * *", "*/59 * * * *", "0 9 1-7 * *", "0 9 1-7 * */7", "0 9 */2 * 1-5", "0 9 * * 1#1", "0 0 L * *"],
)
def test_ordinary_expressions_raise_no_doubt(expression):
    assert cron.parse(expression).warnings == ()


def test_a_schedule_is_read_once():
    assert cron.parse(" 17 3 * * * ") is cron.parse("17 3 * * *")
