"""What Qikli's status and error ids mean, and how they become our states and failures.

Sources: the Qikli manual (its status groups) and, because the manual's own list is missing, the public registry of
the platform Qikli is built on. Ids decide, never names or descriptions: both differ between deployments.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.states import MessageState
from providers.base import Failure, FailureClass
from providers.shared import dig, flag, showable, tell_once, text, whole

_S = MessageState
_F = FailureClass

ACCEPTED, PENDING, UNDELIVERABLE, DELIVERED, EXPIRED, REJECTED = range(6)
"""The status groups (Qikli manual, Status groups)."""


@dataclass(frozen=True, slots=True)
class Status:
    """`state` is where a report with this status leads; `klass` None: no failure."""

    name: str
    groups: tuple[int, ...]
    state: MessageState | None
    klass: FailureClass | None = None
    gloss: str = ""


# Qikli manual, Status groups; ids from the public registry and the classic manual of the platform.
STATUSES: dict[int, Status] = {
    0: Status("MESSAGE_ACCEPTED", (ACCEPTED,), _S.SUBMITTED),
    1: Status("PENDING_TIME_VIOLATION", (PENDING,), _S.HELD),
    # the group says delivered, but only the operator has it: a later report may follow
    2: Status("DELIVERED_TO_OPERATOR", (DELIVERED,), _S.SENT),
    3: Status("PENDING_WAITING_DELIVERY", (PENDING,), _S.SENT),
    4: Status("UNDELIVERABLE_REJECTED_OPERATOR", (UNDELIVERABLE,), _S.UNDELIVERED, _F.UNSPECIFIED, "operator refused"),
    5: Status("DELIVERED_TO_HANDSET", (DELIVERED,), _S.DELIVERED),
    6: Status("REJECTED_NETWORK", (REJECTED,), _S.REJECTED, _F.COUNTRY, "network not enabled on the account"),
    7: Status("PENDING_ENROUTE", (PENDING,), _S.SENT),
    8: Status("REJECTED_PREFIX_MISSING", (REJECTED,), _S.REJECTED, _F.RECIPIENT, "number prefix not recognised"),
    9: Status("UNDELIVERABLE_NOT_DELIVERED", (UNDELIVERABLE,), _S.UNDELIVERED, _F.UNSPECIFIED, "not delivered"),
    10: Status("REJECTED_DND", (REJECTED,), _S.REJECTED, _F.RECIPIENT, "on the do-not-disturb register"),
    11: Status("REJECTED_SOURCE", (REJECTED,), _S.REJECTED, _F.SENDER, "sender not registered on the account"),
    12: Status("REJECTED_NOT_ENOUGH_CREDITS", (REJECTED,), _S.REJECTED, _F.ACCOUNT, "no credit left"),
    13: Status("REJECTED_SENDER", (REJECTED,), _S.REJECTED, _F.SENDER, "sender blocklisted on the account"),
    14: Status("REJECTED_DESTINATION", (REJECTED,), _S.REJECTED, _F.RECIPIENT, "destination blocklisted"),
    15: Status("EXPIRED_EXPIRED", (EXPIRED,), _S.EXPIRED, _F.TEMPORARY, "validity ran out"),
    16: Status("REJECTED_NOT_REACHABLE", (REJECTED,), _S.REJECTED, _F.TEMPORARY, "network unreachable"),
    17: Status("REJECTED_PREPAID_PACKAGE_EXPIRED", (REJECTED,), _S.REJECTED, _F.ACCOUNT, "account package expired"),
    # a trial account reaches only its own number: nothing is wrong with number or account, another account may
    18: Status("REJECTED_DESTINATION_NOT_REGISTERED", (REJECTED,), _S.REJECTED, _F.COUNTRY, "trial account"),
    19: Status("REJECTED_ROUTE_NOT_AVAILABLE", (REJECTED,), _S.REJECTED, _F.COUNTRY, "no route on the account"),
    20: Status("REJECTED_FLOODING_FILTER", (REJECTED,), _S.REJECTED, _F.DEFERRED, "too many messages to this number"),
    21: Status("REJECTED_SYSTEM_ERROR", (REJECTED,), _S.REJECTED, _F.TEMPORARY, "error at the provider"),
    22: Status("EXPIRED_UNKNOWN", (EXPIRED,), _S.EXPIRED, _F.UNSPECIFIED, "expired, reason unknown"),
    # says something about the repeat only: what became of the first message is told by its own reports
    23: Status("REJECTED_DUPLICATE_MESSAGE_ID", (REJECTED,), None, _F.DUPLICATE, "messageId was used before"),
    24: Status("REJECTED_INVALID_UDH", (REJECTED,), _S.REJECTED, _F.CONTENT, "malformed header"),
    25: Status("REJECTED_MESSAGE_TOO_LONG", (REJECTED,), _S.REJECTED, _F.CONTENT, "over 25 parts or 4000 bytes"),
    26: Status("PENDING_ACCEPTED", (PENDING,), _S.SUBMITTED),  # MESSAGE_ACCEPTED in the Qikli manual
    29: Status("EXPIRED_DLR_UNKNOWN", (EXPIRED,), _S.EXPIRED, _F.UNSPECIFIED, "no readable report from the operator"),
    31: Status("UNDELIVERABLE_NOT_SENT", (UNDELIVERABLE,), _S.UNDELIVERED, _F.UNSPECIFIED, "was not sent"),
    51: Status("MISSING_TO", (REJECTED,), _S.REJECTED, _F.CONTENT, "empty recipient"),
    52: Status("REJECTED_DESTINATION", (REJECTED,), _S.REJECTED, _F.RECIPIENT, "number invalid for any operator"),
    # charged when it comes in group EXPIRED, not charged in group REJECTED
    87: Status("SIGNALS_BLOCKED", (REJECTED, EXPIRED), _S.REJECTED, _F.RECIPIENT, "blocked by anti-fraud"),
    100: Status("UNDELIVERABLE_REJECTED_PLATFORM", (REJECTED,), _S.REJECTED, _F.TEMPORARY, "platform unavailable"),
}

# What an id nobody documented means, by its group.
GROUPS: dict[int, Status] = {
    ACCEPTED: Status("ACCEPTED", (ACCEPTED,), _S.SUBMITTED),
    PENDING: Status("PENDING", (PENDING,), _S.SENT),
    UNDELIVERABLE: Status("UNDELIVERABLE", (UNDELIVERABLE,), _S.UNDELIVERED, _F.UNSPECIFIED),
    DELIVERED: Status("DELIVERED", (DELIVERED,), _S.DELIVERED),
    EXPIRED: Status("EXPIRED", (EXPIRED,), _S.EXPIRED, _F.UNSPECIFIED),
    REJECTED: Status("REJECTED", (REJECTED,), _S.REJECTED, _F.UNSPECIFIED),
}

GROUP_NAMES: dict[str, int] = {group.name: number for number, group in GROUPS.items()}

UNKNOWN = Status("UNKNOWN", (), None, _F.UNSPECIFIED, "a status nobody documented")

FLOODED_FOR = 3600.0
"""Seconds until the flooding filter forgets: it counts per number and hour (public registry, status 20)."""


@dataclass(frozen=True, slots=True)
class Error:
    """`permanent` is the registry's flag: the one in a received report wins over it. `klass` None: no failure."""

    name: str
    permanent: bool | None
    klass: FailureClass | None
    gloss: str = ""


_NONE = None
_RCPT = _F.RECIPIENT
_TEXT = _F.CONTENT
_TEMP = _F.TEMPORARY
_UNSP = _F.UNSPECIFIED
_SEND = _F.SENDER
_ACCT = _F.ACCOUNT
_LAND = _F.COUNTRY
_SLOW = _F.THROTTLED
_WAIT = _F.DEFERRED
_DUPL = _F.DUPLICATE
_E = Error

# Public registry, SMS error codes: id, name, the registry's permanent flag, our class.
ERRORS: dict[int, Error] = {
    # group 0, OK
    0: _E("NO_ERROR", False, _NONE),
    # group 1, HANDSET_ERRORS
    1: _E("EC_UNKNOWN_SUBSCRIBER", True, _RCPT, "unknown subscriber"),
    2: _E("EC_UNKNOWN_BASE_STATION", False, _TEMP),
    5: _E("EC_UNIDENTIFIED_SUBSCRIBER", False, _TEMP, "subscriber not identified"),
    6: _E("EC_ABSENT_SUBSCRIBER_SM", False, _TEMP, "phone off / no coverage"),
    7: _E("EC_UNKNOWN_EQUIPMENT", False, _TEMP),
    8: _E("EC_ROAMING_NOT_ALLOWED", False, _TEMP, "roaming without agreement"),
    9: _E("EC_ILLEGAL_SUBSCRIBER", True, _RCPT, "barred/blocklisted subscriber"),
    11: _E("EC_TELESERVICE_NOT_PROVISIONED", True, _RCPT, "SMS service suspended"),
    12: _E("EC_ILLEGAL_EQUIPMENT", True, _RCPT, "IMEI barred"),
    13: _E("EC_CALL_BARRED", False, _TEMP, "service barred"),
    21: _E("EC_FACILITY_NOT_SUPPORTED", False, _TEMP),
    27: _E("EC_ABSENT_SUBSCRIBER", False, _TEMP, "phone off / no coverage"),
    31: _E("EC_SUBSCRIBER_BUSY_FOR_MT_SMS", False, _TEMP, "subscriber busy"),
    32: _E("EC_SM_DELIVERY_FAILURE", False, _TEMP, "delivery failure, unspecific"),
    33: _E("EC_MESSAGE_WAITING_LIST_FULL", False, _TEMP, "waiting list full"),
    34: _E("EC_SYSTEM_FAILURE", False, _TEMP),
    35: _E("EC_DATA_MISSING", False, _TEMP),
    36: _E("EC_UNEXPECTED_DATA_VALUE", False, _TEMP),
    255: _E("EC_UNKNOWN_ERROR", False, _UNSP),
    256: _E("EC_SM_DF_MEMORYCAPACITYEXCEEDED", False, _TEMP, "handset memory full"),
    257: _E("EC_SM_DF_EQUIPMENTPROTOCOLERROR", False, _TEMP),
    258: _E("EC_SM_DF_EQUIPMENTNOTSM_EQUIPPED", False, _TEMP),
    259: _E("EC_SM_DF_UNKNOWNSERVICECENTRE", False, _TEMP),
    260: _E("EC_SM_DF_SC_CONGESTION", False, _TEMP),
    261: _E("EC_SM_DF_INVALIDSME_ADDRESS", False, _TEMP),
    262: _E("EC_SM_DF_SUBSCRIBERNOTSC_SUBSCRIBER", False, _TEMP),
    500: _E("EC_PROVIDER_GENERAL_ERROR", False, _TEMP),
    502: _E("EC_NO_RESPONSE", False, _TEMP, "operator did not answer"),
    503: _E("EC_SERVICE_COMPLETION_FAILURE", False, _TEMP),
    504: _E("EC_UNEXPECTED_RESPONSE_FROM_PEER", False, _TEMP),
    507: _E("EC_MISTYPED_PARAMETER", False, _TEMP),
    508: _E("EC_NOT_SUPPORTED_SERVICE", False, _TEMP),
    509: _E("EC_DUPLICATED_INVOKE_ID", False, _TEMP),
    565: _E("EC_CANNOT_RECEIVE_SC", True, _RCPT),
    573: _E("EC_SC_BLOCKED_BY_END_USER", True, _RCPT),
    581: _E("EC_USER_OUT_OF_CREDIT", False, _TEMP, "prepaid recipient out of credit"),
    628: _E("EC_TEMPORARY_HANDSET_FAILURE", True, _TEMP),
    629: _E("EC_DEST_ADDRESS_UNABLE_TO_RECEIVE_SMS", True, _RCPT, "cannot receive SMS"),
    # group 1, classic manual only
    72: _E("EC_USSD_BUSY", True, _TEMP),
    511: _E("EC_INITIATING_RELEASE", False, _TEMP),
    # group 2, USER_ERRORS
    323: _E("EC_INVALID_REQUEST_TYPE", True, _TEXT),
    351: _E("EC_INVALID_DESTINATION_ADDRESS", False, _RCPT, "invalid destination"),
    352: _E("EC_INVALID_REQUEST_DESTINATION", True, _RCPT),
    355: _E("EC_MSG_TEXT_TOO_LONG", True, _TEXT, "text too long"),
    368: _E("EC_INVALID_SOURCE_ADDRESS", True, _SEND, "invalid sender"),
    433: _E("EC_ACCOUNT_ACCESS_DENIED", True, _ACCT),
    541: _E("EC_LIMIT_REACHED", False, _SLOW, "carrier TPS limit"),
    542: _E("EC_QUOTA_REACHED", False, _SLOW, "carrier daily quota"),
    572: _E("EC_CAMPAIGNID_NOT_PROVISIONED", True, _SEND),
    577: _E("EC_ACC_NOT_PROVISIONED_TO_SMS_DEMO_SC", True, _ACCT),
    578: _E("EC_EXCEEDED_THE_TIME_LIMIT_OF_SMS_DEMO", True, _ACCT),
    579: _E("EC_DEST_ADDRESS_NOT_IN_SMS_DEMO", True, _ACCT),
    580: _E("EC_EXCEEDED_THE_MAX_NUMBER", True, _ACCT),
    594: _E("EC_INVALID_GLOBAL_CAMPAIGN_ID", True, _SEND),
    597: _E("EC_ACC_HAS_NO_ADRESS_FOR_DESR", True, _ACCT),
    598: _E("EC_INTERACTION_NOT_SUPPORTED", True, _ACCT),
    601: _E("EC_ACC_NOT_2_WAY", True, _ACCT),
    603: _E("EC_CONTENT_BLOCKED", True, _RCPT, "recipient opted out"),
    604: _E("EC_BLOCKED_BY_CAMPAIGN_BLACKLIST", True, _RCPT),
    607: _E("EC_REJECTED_SPAM_BY_OPERATOR", True, _TEXT, "spam"),
    608: _E("EC_SIGNALS_BLOCKED", False, _RCPT),
    609: _E("EC_SIGNALS_HARD_LIMIT_REACHED", True, _ACCT),
    2049: _E("EC_IMSI_BLACKLISTED", True, _RCPT, "IMSI blocklisted"),
    2052: _E("EC_BLACKLISTED_DESTINATIONADDRESS", True, _RCPT, "destination blocklisted"),
    2053: _E("EC_BLACKLISTED_SENDERADDRESS", True, _SEND, "sender blocklisted"),
    3041: _E("EC_DEACTIVATED_LIST", True, _RCPT, "number deactivated"),
    4096: _E("EC_INVALID_PDU_FORMAT", True, _TEXT),
    4099: _E("EC_MONTHLY_LIMIT_REACHED", True, _ACCT, "monthly credit limit"),
    4100: _E("EC_MESSAGE_CANCELED", True, _UNSP, "cancelled before hand-over"),
    4101: _E("EC_VALIDITY_EXPIRED", True, _TEMP, "validity expired at operator"),
    4102: _E("EC_NOTSUBMITTEDTOSMPPCHANNEL", True, _TEMP),
    4103: _E("EC_DESTINATION_FLOODING", True, _WAIT, "too many messages to one number"),
    4104: _E("EC_DESTINATION_TXT_FLOODING", True, _WAIT, "too many identical messages"),
    4202: _E("EC_10DLC_LIMIT_REACHED", True, _SEND),
    # group 3, OPERATOR_ERRORS (4102 is listed in both groups)
    10: _E("EC_BEARER_SERVICE_NOT_PROVISIONED", True, _RCPT),
    15: _E("EC_CUG_REJECT", False, _TEMP),
    20: _E("EC_SS_INCOMPATIBILITY", False, _TEMP),
    24: _E("EC_NO_RADIO_RESOURCE_AVAILABLE", False, _TEMP),
    51: _E("EC_RESOURCE_LIMITATION", True, _TEMP, "SS7 congestion"),
    71: _E("EC_UNKNOWN_ALPHABET", False, _TEXT),
    345: _E("EC_OPERATOR_NOT_FOUND", True, _RCPT),
    375: _E("EC_SOURCE_ADDRESS_IS_BLOCKED", True, _SEND),
    488: _E("EC_TF_NUMBER_NOT_VERIFIED", True, _SEND),
    501: _E("EC_INVALID_RESPONSE_RECEIVED", False, _TEMP),
    560: _E("EC_SC_BLOCKED_FOR_END_USER", True, _RCPT),
    561: _E("EC_CONTENT_BLOCKED_BY_OPERATOR", True, _TEXT),
    562: _E("EC_SC_NOT_PROVISIONED", True, _SEND),
    563: _E("EC_SC_EXPIRED", True, _SEND),
    564: _E("EC_SC_BLOCKED", True, _SEND),
    566: _E("EC_DESTINATION_BLOCKED_BY_OPERATOR", True, _RCPT),
    568: _E("EC_DESTINATION_NOT_SMS_PROVISIONED", True, _RCPT),
    569: _E("EC_DEST_ADDRESS_SUSPENDED", True, _RCPT),
    571: _E("EC_CAMPAIGN_ID_REJECTED", False, _SEND),
    574: _E("EC_BLOCKED_NEW_SUBSCRIPTIONS_FOR_SC", True, _SEND),
    592: _E("EC_ACCOUNT_NOT_PROVISIONED_FOR_CHANNEL", True, _LAND),
    630: _E("EC_DEST_OVERLOADED", True, _TEMP),
    631: _E("EC_MOBILE_OPERATOR_NETWORK_ERROR", True, _TEMP),
    632: _E("EC_SMS_REJECTED_BY_MOBILE_OPERATOR", True, _UNSP),
    633: _E("EC_UNKNOWN_MOBILE_OPERATOR", True, _UNSP),
    810: _E("EC_FAILED_MESSAGE_DELIVERY", True, _UNSP),
    811: _E("EC_MESSAGE_EXPIRED", True, _TEMP),
    815: _E("EC_MESSAGE_SUBMITTED_NOT_ACKED", True, _UNSP),
    2048: _E("EC_TIME_OUT", False, _TEMP, "timeout"),
    2050: _E("EC_DEST_ADDRESS_BLACKLISTED", True, _RCPT, "operator DND list"),
    2051: _E("EC_INVALIDMSCADDRESS", False, _TEXT, "text blocklisted"),
    4097: _E("EC_NOTSUBMITTEDTOGMSC", False, _TEMP, "failed on the platform"),
    4098: _E("EC_VP_EXPIRED", False, _TEMP, "validity period expired"),
    5492: _E("EC_DUPLICATE_MESSAGE", True, _DUPL, "same message already sent"),
}

# Public registry, SS7 and MAP protocol failures: all temporary.
_SS7 = {
    1024: "EC_OR_APPCONTEXTNOTSUPPORTED",
    1025: "EC_OR_INVALIDDESTINATIONREFERENCE",
    1026: "EC_OR_INVALIDORIGINATINGREFERENCE",
    1027: "EC_OR_ENCAPSULATEDAC_NOTSUPPORTED",
    1028: "EC_OR_TRANSPORTPROTECTIONNOTADEQUATE",
    1029: "EC_OR_NOREASONGIVEN",
    1030: "EC_OR_POTENTIALVERSIONINCOMPATIBILITY",
    1031: "EC_OR_REMOTENODENOTREACHABLE",
    1152: "EC_NNR_NOTRANSLATIONFORANADDRESSOFSUCHNATURE",
    1153: "EC_NNR_NOTRANSLATIONFORTHISSPECIFICADDRESS",
    1154: "EC_NNR_SUBSYSTEMCONGESTION",
    1155: "EC_NNR_SUBSYSTEMFAILURE",
    1156: "EC_NNR_UNEQUIPPEDUSER",
    1157: "EC_NNR_MTPFAILURE",
    1158: "EC_NNR_NETWORKCONGESTION",
    1159: "EC_NNR_UNQUALIFIED",
    1160: "EC_NNR_ERRORINMESSAGETRANSPORTXUDT",
    1161: "EC_NNR_ERRORINLOCALPROCESSINGXUDT",
    1162: "EC_NNR_DESTINATIONCANNOTPERFORMREASSEMBLYXUDT",
    1163: "EC_NNR_SCCPFAILURE",
    1164: "EC_NNR_HOPCOUNTERVIOLATION",
    1165: "EC_NNR_SEGMENTATIONNOTSUPPORTED",
    1166: "EC_NNR_SEGMENTATIONFAILURE",
    1281: "EC_UA_USERSPECIFICREASON",
    1282: "EC_UA_USERRESOURCELIMITATION",
    1283: "EC_UA_RESOURCEUNAVAILABLE",
    1284: "EC_UA_APPLICATIONPROCEDURECANCELLATION",
    1536: "EC_PA_PROVIDERMALFUNCTION",
    1537: "EC_PA_SUPPORTINGDIALOGORTRANSACTIONREALEASED",
    1538: "EC_PA_RESSOURCELIMITATION",
    1539: "EC_PA_MAINTENANCEACTIVITY",
    1540: "EC_PA_VERSIONINCOMPATIBILITY",
    1541: "EC_PA_ABNORMALMAPDIALOG",
    1792: "EC_NC_ABNORMALEVENTDETECTEDBYPEER",
    1793: "EC_NC_RESPONSEREJECTEDBYPEER",
    1794: "EC_NC_ABNORMALEVENTRECEIVEDFROMPEER",
    1795: "EC_NC_MESSAGECANNOTBEDELIVEREDTOPEER",
    1796: "EC_NC_PROVIDEROUTOFINVOKE",
}

# Public registry, DLT error codes (India's register of entities, senders and templates): what is registered there does
# not fit the message, save the exceptions below. The registry gives them no permanent flag.
_DLT = {
    4106: "EC_BLOCKED_BY_DLT",
    4107: "EC_DLT_SCRUBBING_TIMEOUT",
    4108: "EC_SENDER_BLOCKED_BY_DLT",
    4109: "EC_TELEMARKETER_BLOCKED_BY_DLT",
    4110: "EC_ENTITY_BLOCKED_BY_DLT",
    4111: "EC_TEMPLATE_BLOCKED_BY_DLT",
    4112: "EC_ENTITY_NOT_FOUND",
    4113: "EC_ENTITY_NOT_REGISTERED",
    4114: "EC_ENTITY_INACTIVE",
    4115: "EC_ENTITY_BLACKLISTED",
    4116: "EC_INVALID_ENTITY_ID",
    4117: "EC_ENTITY_ID_NOT_ALLOWED_FOR_TM",
    4118: "EC_TELEMARKETER_NOT_REGISTERED",
    4119: "EC_TELEMARKETER_INACTIVE",
    4120: "EC_TELEMARKETER_BLACKLISTED",
    4121: "EC_HEADER_NOT_FOUND",
    4122: "EC_HEADER_INACTIVE",
    4123: "EC_HEADER_BLACKLISTED",
    4124: "EC_PEID_NOT_MATCHED_WITH_HEADER",
    4125: "EC_HEADER_IN_FREEPOOL",
    4126: "EC_TEMPLATE_NOT_FOUND",
    4127: "EC_TEMPLATE_INACTIVE",
    4128: "EC_TEMPLATE_BLACKLISTED",
    4129: "EC_TEMPLATE_NOT_MATCHED",
    4130: "EC_HEADER_NOT_REGISTERED_FOR_TEMPLATE",
    4131: "EC_TEMPLATE_VARIABLE_EXCEEDED_MAX_LENGTH",
    4132: "EC_ERROR_IDENTIFYING_TEMPLATE",
    4133: "EC_INVALID_TEMPLATE_ID",
    4134: "EC_TEMPLATE_NOT_REGISTERED_TO_ENTITY",
    4135: "EC_PROMOTIONAL_TEMPLATE_USED_ON_OTHERS_HEADER",
    4136: "EC_INVALID_TEMPLATE_TYPE",
    4137: "EC_PREFERENCE_NOT_MATCHED",
    4138: "EC_INVALID_PROMO_TIME",
    4139: "EC_SE_CATEGORY_BLOCK",
    4140: "EC_CONSENT_FAILED",
    4141: "EC_SCRUBBING_FAILED",
    4142: "EC_TLV_PEID_NOT_FOUND",
    4143: "EC_TLV_TMPID_NOT_FOUND",
    4144: "EC_CONTENT_MULTIPART_INCOMPLETE_BY_DLT",
    4146: "EC_HEADER_SUSPENDED_DUE_TO_VALIDITY",
    4147: "EC_HEADER_SUSPENDED_DUE_TO_USAGE",
    4148: "EC_HEADER_SUSPENDED_DUE_TO_CUSTOMER",
    4149: "EC_TEMPLATE_SUSPENDED_DUE_TO_VALIDITY",
    4150: "EC_TEMPLATE_SUSPENDED_DUE_TO_USAGE",
    4151: "EC_TEMPLATE_SUSPENDED_DUE_TO_CUSTOMER",
    4153: "EC_CTA_NOT_WHITELISTED",
    4154: "EC_PE_TM_HASH_NOT_RECEIVED",
    4155: "EC_PE_TM_HASH_NOT_REGISTERED",
    4156: "EC_PE_TM_HASH_INACTIVE",
    4157: "EC_PE_TM_HASH_BLACKLISTED",
    4158: "EC_PE_TM_HASH_SUSPENDED",
}

_DLT_EXCEPTIONS = {
    4107: _TEMP,  # the register did not answer in time
    4131: _TEXT,  # a variable of the template is too long
    4137: _RCPT,  # the person's preferences exclude it
    4138: _WAIT,  # promotions only between 10:00 and 21:00
    4140: _RCPT,  # no consent
    4141: _TEMP,
    4144: _TEMP,  # parts of a long message were missing
}

ERRORS |= {number: Error(name, False, _TEMP) for number, name in _SS7.items()}
ERRORS |= {number: Error(name, None, _DLT_EXCEPTIONS.get(number, _SEND)) for number, name in _DLT.items()}


# Registers and lists a person is on by saying no (public registry: statuses, and SMS error codes).
OPT_OUT_STATUSES = frozenset({10})
OPT_OUT_ERRORS = frozenset({573, 603, 604, 2050, 4137, 4140})


# --- from payload to meaning -----------------------------------------------------------------------------------------


def status_of(payload: object) -> Status:
    """The meaning of a `status` object: by group, then by id. An id that contradicts its group is not believed; one
    without any group is."""
    group, number = _group(payload), whole(payload, "id")
    known = STATUSES.get(number) if number is not None else None
    if known and (group in known.groups or dig(payload, "groupId") is None):
        return known
    tell_once("qikli", "status", f"{group}/{number}")
    return GROUPS.get(group, UNKNOWN) if group is not None else UNKNOWN


def _group(payload: object) -> int | None:
    """By its id; only where there is none, by its name (Qikli manual, Status groups)."""
    if dig(payload, "groupId") is not None:
        return whole(payload, "groupId")
    return GROUP_NAMES.get((text(payload, "groupName") or "").upper())


def failure_of(status: object, error: object = None, secrets: tuple[str, ...] = ()) -> Failure | None:
    """Why it failed, from the `status` and `error` objects of one row; None for no failure.

    A status that names its own reason speaks for itself; one that does not ("undeliverable") is explained by the error.
    """
    meaning = status_of(status)
    if meaning.klass is None:
        return None
    number, error_number = whole(status, "id"), whole(error, "id")
    if error_number and meaning.klass in (_UNSP, _TEMP):
        return _by_error(f"{_shown(number)}/{error_number}", error_number, error, secrets)
    refused = number in OPT_OUT_STATUSES and meaning is STATUSES.get(number)
    reason = _reason(meaning, status, secrets)
    return Failure(_shown(number), meaning.klass, reason, flag(error, "permanent"), opt_out=refused)


def _by_error(code: str, number: int, payload: object, secrets: tuple[str, ...]) -> Failure:
    told = flag(payload, "permanent")
    known = ERRORS.get(number)
    if known is None:
        tell_once("qikli", "error", number)
        return Failure(code, _UNLISTED[told], _described(f"error {number}", payload, secrets), told)
    klass = _corrected(known, told, whole(payload, "groupId"))
    permanent = known.permanent if told is None else told
    opt_out = number in OPT_OUT_ERRORS and klass is _RCPT
    return Failure(code, klass, _named(known.name, known.gloss), permanent, opt_out=opt_out)


_UNLISTED = {True: _RCPT, False: _TEMP, None: _UNSP}
_HANDSET_ERRORS = 1


def _corrected(known: Error, told: bool | None, group: int | None) -> FailureClass:
    """The table's class, unless the report's own flag contradicts the table: registries disagree on several ids."""
    klass = known.klass or _UNSP
    if told is None or told == known.permanent:
        return klass
    if told and klass is _TEMP:
        return _RCPT if group == _HANDSET_ERRORS else _UNSP
    return _TEMP if not told and klass is _RCPT else klass


def _reason(meaning: Status, payload: object, secrets: tuple[str, ...]) -> str:
    return _named(meaning.name, meaning.gloss) if meaning.gloss else _described(meaning.name, payload, secrets)


def _named(name: str, gloss: str) -> str:
    return f"{name}: {gloss}" if gloss else name


def _described(name: str, payload: object, secrets: tuple[str, ...]) -> str:
    """`name`, and in the provider's own words what we have no better word for."""
    return _named(name, showable(text(payload, "description") or text(payload, "name"), secrets))


def _shown(number: int | None) -> str:
    return "?" if number is None else str(number)
