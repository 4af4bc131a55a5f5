/* SPDX-License-Identifier: MIT */
/* Messages as the control socket tells them. */
#include "chat/proto/chatjson.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "tests/unit/test_util.h"

static const uint8_t ID[PV_CHAT_ID_LEN] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#define ID_TEXT "AAECAwQFBgcICQoLDA0ODw"

/* Takes obj. */
static void assert_json(json_t *obj, const char *want)
{
    size_t len = 0;
    assert_non_null(obj);
    char *line = pv_ctlapi_dump(obj, &len);
    assert_non_null(line);
    line[len - 1] = '\0'; /* the newline */
    assert_string_equal(line, want);
    free(line);
    json_decref(obj);
}

PV_TEST(messages_json_is_exactly_the_contract)
{
    struct pv_chatjson_message msg = {.id = ID,
                                      .from = "bob",
                                      .to = "lap",
                                      .text = "a \"b\"\n\x1b",
                                      .time_ms = 1790000000123,
                                      .state = PV_CHAT_UNREAD};
#define MSG_JSON                                                                                \
    "{\"id\":\"" ID_TEXT "\",\"from\":\"bob\",\"unproven\":false,\"to\":\"lap\",\"room\":null," \
    "\"text\":\"a \\\"b\\\"\\n\\u001B\",\"time\":1790000000.123,\"state\":\"unread\"}"
    json_t *list = pv_chatjson_messages(false, 0);
    pv_ctlapi_put(&list, "messages", pv_chatjson_write_message(&msg));
    assert_json(list, "{\"version\":1,\"messages\":[" MSG_JSON "]}");
    assert_json(pv_chatjson_messages(true, 7), test_given("messages more upto"));
}
