from __future__ import annotations

import pytest

from w2s.client.naming import Named
from w2s.supervisor.v1 import supervisor_pb2 as pb


def sent(request):
    return Named().intercept_unary_unary(lambda details, request: request, None, request)


@pytest.mark.parametrize("kind", [pb.LabelDatasetRequest, pb.ActivateTeacherRequest, pb.RollbackTeacherRequest])
def test_each_call_that_makes_something_gets_a_name_and_the_callers_request_stays(kind):
    request = kind()
    one, two = sent(request), sent(request)
    assert one.request_id != two.request_id
    assert (request.request_id, len(one.request_id)) == ("", 32)


def test_a_name_that_was_given_and_a_request_that_takes_none_stay():
    assert sent(pb.RollbackTeacherRequest(request_id="mine")).request_id == "mine"
    request = pb.GetTeacherRequest(name="teachers/a")
    assert sent(request) is request
