"""What a job's schedule is called in English: true first, short second."""

import pytest

from jobs import cron


@pytest.mark.parametrize(
    "expression, words",
    [
        # round the clock
        ("* * * * *", "Every minute"),
        ("*/1 * * * *", "Every minute"),
        ("0-59 */1 * * *", "Every minute"),
        ("*,5 * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0,30 * * * *", "Every 30 minutes"),
        ("0 * * * *", "Every hour"),
        ("*/90 * * * *", "Every hour"),
        ("1 * * * *", "At 1 minute past every hour"),
        ("11 0-23/1 * * *", "At 11 minutes past every hour"),
        ("*/40 * * * *", "At 0 and 40 minutes past every hour"),
        ("*/7 * * * *", "At 0, 7, 14, 21, 28, 35, 42, 49 and 56 minutes past every hour"),
        ("5/10 * * * *", "At 5, 15, 25, 35, 45 and 55 minutes past every hour"),
        ("10-20 * * * *", "At 10 through 20 minutes past every hour"),
        ("*/5 * * * 1-5", "Every 5 minutes on Monday through Friday"),
        ("* * * 2 *", "Every minute in February"),
        # times of day
        ("0 2 * * *", "At 02:00 AM every day"),
        ("0 0 * * *", "At 12:00 AM every day"),
        ("0 12 * * *", "At 12:00 PM every day"),
        ("59 23 * * *", "At 11:59 PM every day"),
        ("00 08 * * *", "At 08:00 AM every day"),
        ("0 23-23 * * *", "At 11:00 PM every day"),
        ("0 9,17 * * *", "At 09:00 AM and 05:00 PM every day"),
        ("0,30 9 * * *", "At 09:00 AM and 09:30 AM every day"),
        ("*/30 2 * * *", "At 02:00 AM and 02:30 AM every day"),
        ("0 22-23,0-2 * * *", "At 12:00 AM, 01:00 AM, 02:00 AM, 10:00 PM and 11:00 PM every day"),
        ("0 */23 * * *", "At 12:00 AM and 11:00 PM every day"),
        # every so many hours, windows
        ("0 */2 * * *", "Every 2 hours starting at 12:00 AM every day"),
        ("30 2/3 * * *", "Every 3 hours starting at 02:30 AM every day"),
        ("0 */5 * * *", "At 12:00 AM, 05:00 AM, 10:00 AM, 03:00 PM and 08:00 PM every day"),
        ("0 8-18 * * *", "Every hour from 08:00 AM to 06:00 PM every day"),
        ("15 8-18 * * *", "Every hour from 08:15 AM to 06:15 PM every day"),
        ("*/15 9-17 * * 1-5", "Every 15 minutes from 09:00 AM to 05:45 PM on Monday through Friday"),
        ("* 2 * * *", "Every minute from 02:00 AM to 02:59 AM every day"),
        ("*/5 2,4 * * *", "Every 5 minutes from 02:00 AM to 02:55 AM and from 04:00 AM to 04:55 AM every day"),
        (
            "*/5 */6 * * *",
            "Every 5 minutes in the hours that start at 12:00 AM, 06:00 AM, 12:00 PM and 06:00 PM every day",
        ),
        ("10-20 3 * * *", "At 10 through 20 minutes past 03:00 AM every day"),
        ("1-5,10 1,3-5 * * *", "At 1 through 5 and 10 minutes past 01:00 AM and 03:00 AM through 05:00 AM every day"),
        # days of the month
        ("0 0 1 * *", "At 12:00 AM on day 1 of the month"),
        ("0 0 1,15 * *", "At 12:00 AM on days 1 and 15 of the month"),
        ("0 0 1-7 * *", "At 12:00 AM on days 1 through 7 of the month"),
        ("0 0 1-31 * *", "At 12:00 AM every day"),
        ("0 0 */2 * *", "At 12:00 AM on odd days of the month"),
        ("0 0 2/2 * *", "At 12:00 AM on even days of the month"),
        ("0 0 */10 * *", "At 12:00 AM on days 1, 11, 21 and 31 of the month"),
        ("0 0 L * *", "At 12:00 AM on the last day of the month"),
        ("0 0 l 2 *", "At 12:00 AM on the last day of the month in February"),
        ("0 0 29 2 *", "At 12:00 AM on day 29 of the month in February"),
        # weekdays
        ("5 4 * * 0", "At 04:05 AM on Sunday"),
        ("5 4 * * 7", "At 04:05 AM on Sunday"),
        ("5 4 * * sun", "At 04:05 AM on Sunday"),
        ("5 4 * * 0-7", "At 04:05 AM every day"),
        ("5 4 * * 1,5", "At 04:05 AM on Monday and Friday"),
        ("5 4 * * 5-7", "At 04:05 AM on Friday through Sunday"),
        ("5 4 * * SUN-TUE", "At 04:05 AM on Sunday through Tuesday"),
        ("5 4 * * 6-7,1", "At 04:05 AM on Saturday through Monday"),
        ("5 4 * * 0,1", "At 04:05 AM on Sunday and Monday"),
        ("5 4 * * 0-4,6", "At 04:05 AM on Saturday through Thursday"),
        ("5 4 * * MON,WED-FRI", "At 04:05 AM on Monday and Wednesday through Friday"),
        ("5 4 * * */2", "At 04:05 AM on Tuesday, Thursday, Saturday and Sunday"),
        ("5 4 * * 1/2", "At 04:05 AM on Sunday, Monday, Wednesday and Friday"),
        ("5 4 * * 1#1", "At 04:05 AM on the first Monday of the month"),
        ("5 4 * * SUN#5", "At 04:05 AM on the fifth Sunday of the month"),
        ("5 4 * * 7#2,FRI#4", "At 04:05 AM on the second Sunday and the fourth Friday of the month"),
        ("5 4 * * 3,1#1", "At 04:05 AM on Wednesday and the first Monday of the month"),
        # both: OR, unless one of them starts with a star
        ("0 0 13 * 5", "At 12:00 AM on day 13 of the month or on Friday"),
        ("0 9 1-7 * 1", "At 09:00 AM on days 1 through 7 of the month or on Monday"),
        ("0 0 L * FRI", "At 12:00 AM on the last day of the month or on Friday"),
        ("0 0 1 * 0-6", "At 12:00 AM every day"),
        ("0 0 1-31 * 1", "At 12:00 AM every day"),
        ("0 0 */2 * 1", "At 12:00 AM on odd days of the month, but only on Monday"),
        ("0 0 13 * */5", "At 12:00 AM on day 13 of the month, but only on Friday and Sunday"),
        ("0 0 */1 * 1", "At 12:00 AM on Monday"),
        ("0 0 1 * *,1", "At 12:00 AM on day 1 of the month"),
        # months
        ("0 0 1 1 *", "At 12:00 AM on day 1 of the month in January"),
        ("0 0 * JAN-MAR,9 *", "At 12:00 AM every day in January through March and September"),
        ("0 0 1 */3 *", "At 12:00 AM on day 1 of the month in January, April, July and October"),
        ("0 0 1 1,2 *", "At 12:00 AM on day 1 of the month in January and February"),
        ("0 0 * 1-12 *", "At 12:00 AM every day"),
        ("0 0 13 6 5", "At 12:00 AM in June, on day 13 of the month or on Friday"),
    ],
)
def test_description_says_what_the_schedule_does(expression, words):
    assert cron.describe(expression) == words
    assert cron.describe(cron.parse(expression)) == words


def test_an_invalid_expression_has_no_description():
    with pytest.raises(cron.CronError):
        cron.describe("61 * * * *")
