"""Qikli's statuses and error codes: what its answers and delivery reports may say.

The manual names the groups and one status ("Status Groups", response sample); ids, names and the permanent flags are
those of the public registry of the platform Qikli is built on. The sandbox keeps its own copy and shares it with no
client, so that a slip in one of two copies shows up as a failing exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

GROUPS: Final = {0: "ACCEPTED", 1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}
ERROR_GROUPS: Final = {0: "OK", 1: "HANDSET_ERRORS", 2: "USER_ERRORS", 3: "OPERATOR_ERRORS"}


class Sid(IntEnum):
    """Status ids the simulator decides by itself. Every other id of the table is reached by naming it as an outcome."""

    TIME_VIOLATION = 1
    TO_OPERATOR = 2
    TO_HANDSET = 5
    PREFIX_MISSING = 8
    NOT_DELIVERED = 9
    DND = 10
    SOURCE = 11
    NO_CREDITS = 12
    BLOCKLISTED = 14
    EXPIRED = 15
    FLOODING = 20
    DUPLICATE_ID = 23
    TOO_LONG = 25
    ACCEPTED = 26
    CANCELED = 31
    MISSING_TO = 51
    INVALID_TO = 52


@dataclass(frozen=True, slots=True)
class Status:
    """One row of the status table; `json` is the object as it stands in answers and reports."""

    id: int
    group: int
    name: str
    description: str

    @property
    def json(self) -> dict[str, object]:
        return {
            "groupId": self.group,
            "groupName": GROUPS[self.group],
            "id": self.id,
            "name": self.name,
            "description": self.description,
        }


@dataclass(frozen=True, slots=True)
class ReportError:
    """One row of the error table. `permanent` is what the report claims, and reports are free to differ."""

    id: int
    group: int
    name: str
    permanent: bool

    @property
    def json(self) -> dict[str, object]:
        return {
            "groupId": self.group,
            "groupName": ERROR_GROUPS[self.group],
            "id": self.id,
            "name": self.name,
            "description": "No Error" if self.id == 0 else self.name.removeprefix("EC_").replace("_", " ").capitalize(),
            "permanent": self.permanent,
        }


# id: group, name, description. Id 2 stands in the DELIVERED group although only the operator has the message.
_STATUSES: Final[dict[int, tuple[int, str, str]]] = {
    0: (0, "MESSAGE_ACCEPTED", "Message accepted"),
    1: (1, "PENDING_TIME_VIOLATION", "Time window violation"),
    2: (3, "DELIVERED_TO_OPERATOR", "Message delivered to operator"),
    3: (1, "PENDING_WAITING_DELIVERY", "Message sent, waiting for delivery report"),
    4: (2, "UNDELIVERABLE_REJECTED_OPERATOR", "Message rejected by operator"),
    5: (3, "DELIVERED_TO_HANDSET", "Message delivered to handset"),
    6: (5, "REJECTED_NETWORK", "Network is forbidden"),
    7: (1, "PENDING_ENROUTE", "Message sent to next instance"),
    8: (5, "REJECTED_PREFIX_MISSING", "Number prefix missing"),
    9: (2, "UNDELIVERABLE_NOT_DELIVERED", "Message sent not delivered"),
    10: (5, "REJECTED_DND", "Destination on DND list"),
    11: (5, "REJECTED_SOURCE", "Invalid Source address"),
    12: (5, "REJECTED_NOT_ENOUGH_CREDITS", "Not enough credits"),
    13: (5, "REJECTED_SENDER", "By Sender"),
    14: (5, "REJECTED_DESTINATION", "By Destination"),
    15: (4, "EXPIRED_EXPIRED", "Message expired"),
    16: (5, "REJECTED_NOT_REACHABLE", "Network not reachable"),
    17: (5, "REJECTED_PREPAID_PACKAGE_EXPIRED", "Prepaid package expired"),
    18: (5, "REJECTED_DESTINATION_NOT_REGISTERED", "Destination not registered"),
    19: (5, "REJECTED_ROUTE_NOT_AVAILABLE", "Route not available"),
    20: (5, "REJECTED_FLOODING_FILTER", "Rejected flooding"),
    21: (5, "REJECTED_SYSTEM_ERROR", "System error"),
    22: (4, "EXPIRED_UNKNOWN", "Unknown reason"),
    23: (5, "REJECTED_DUPLICATE_MESSAGE_ID", "Rejected duplicate message ID"),
    24: (5, "REJECTED_INVALID_UDH", "Rejected invalid UDH"),
    25: (5, "REJECTED_MESSAGE_TOO_LONG", "Rejected message too long"),
    26: (1, "MESSAGE_ACCEPTED", "Message sent to next instance"),
    29: (4, "EXPIRED_DLR_UNKNOWN", "Delivery report missing or unreadable"),
    31: (2, "UNDELIVERABLE_NOT_SENT", "Message was not sent"),
    51: (5, "MISSING_TO", "Missing TO"),
    52: (5, "REJECTED_DESTINATION", "Invalid destination address"),
    87: (5, "SIGNALS_BLOCKED", "Blocked by anti-fraud"),
    100: (5, "UNDELIVERABLE_REJECTED_PLATFORM", "Rejected by the platform"),
}

# (error group, permanent flag): id: name. 4102 stands in the registry under two groups; the one kept is the operator's.
_ERRORS: Final[dict[tuple[int, bool], dict[int, str]]] = {
    (0, False): {
        0: "NO_ERROR",
    },
    (1, False): {
        2: "EC_UNKNOWN_BASE_STATION",
        5: "EC_UNIDENTIFIED_SUBSCRIBER",
        6: "EC_ABSENT_SUBSCRIBER_SM",
        7: "EC_UNKNOWN_EQUIPMENT",
        8: "EC_ROAMING_NOT_ALLOWED",
        13: "EC_CALL_BARRED",
        21: "EC_FACILITY_NOT_SUPPORTED",
        27: "EC_ABSENT_SUBSCRIBER",
        31: "EC_SUBSCRIBER_BUSY_FOR_MT_SMS",
        32: "EC_SM_DELIVERY_FAILURE",
        33: "EC_MESSAGE_WAITING_LIST_FULL",
        34: "EC_SYSTEM_FAILURE",
        35: "EC_DATA_MISSING",
        36: "EC_UNEXPECTED_DATA_VALUE",
        255: "EC_UNKNOWN_ERROR",
        256: "EC_SM_DF_MEMORYCAPACITYEXCEEDED",
        257: "EC_SM_DF_EQUIPMENTPROTOCOLERROR",
        258: "EC_SM_DF_EQUIPMENTNOTSM_EQUIPPED",
        259: "EC_SM_DF_UNKNOWNSERVICECENTRE",
        260: "EC_SM_DF_SC_CONGESTION",
        261: "EC_SM_DF_INVALIDSME_ADDRESS",
        262: "EC_SM_DF_SUBSCRIBERNOTSC_SUBSCRIBER",
        500: "EC_PROVIDER_GENERAL_ERROR",
        502: "EC_NO_RESPONSE",
        503: "EC_SERVICE_COMPLETION_FAILURE",
        504: "EC_UNEXPECTED_RESPONSE_FROM_PEER",
        507: "EC_MISTYPED_PARAMETER",
        508: "EC_NOT_SUPPORTED_SERVICE",
        509: "EC_DUPLICATED_INVOKE_ID",
        511: "EC_INITIATING_RELEASE",
        581: "EC_USER_OUT_OF_CREDIT",
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
    },
    (1, True): {
        1: "EC_UNKNOWN_SUBSCRIBER",
        9: "EC_ILLEGAL_SUBSCRIBER",
        11: "EC_TELESERVICE_NOT_PROVISIONED",
        12: "EC_ILLEGAL_EQUIPMENT",
        72: "EC_USSD_BUSY",
        565: "EC_CANNOT_RECEIVE_SC",
        573: "EC_SC_BLOCKED_BY_END_USER",
        628: "EC_TEMPORARY_HANDSET_FAILURE",
        629: "EC_DEST_ADDRESS_UNABLE_TO_RECEIVE_SMS",
    },
    (2, False): {
        351: "EC_INVALID_DESTINATION_ADDRESS",
        541: "EC_LIMIT_REACHED",
        542: "EC_QUOTA_REACHED",
        608: "EC_SIGNALS_BLOCKED",
    },
    (2, True): {
        323: "EC_INVALID_REQUEST_TYPE",
        352: "EC_INVALID_REQUEST_DESTINATION",
        355: "EC_MSG_TEXT_TOO_LONG",
        368: "EC_INVALID_SOURCE_ADDRESS",
        433: "EC_ACCOUNT_ACCESS_DENIED",
        572: "EC_CAMPAIGNID_NOT_PROVISIONED",
        577: "EC_ACC_NOT_PROVISIONED_TO_SMS_DEMO_SC",
        578: "EC_EXCEEDED_THE_TIME_LIMIT_OF_SMS_DEMO",
        579: "EC_DEST_ADDRESS_NOT_IN_SMS_DEMO",
        580: "EC_EXCEEDED_THE_MAX_NUMBER",
        594: "EC_INVALID_GLOBAL_CAMPAIGN_ID",
        597: "EC_ACC_HAS_NO_ADRESS_FOR_DESR",
        598: "EC_INTERACTION_NOT_SUPPORTED",
        601: "EC_ACC_NOT_2_WAY",
        603: "EC_CONTENT_BLOCKED",
        604: "EC_BLOCKED_BY_CAMPAIGN_BLACKLIST",
        607: "EC_REJECTED_SPAM_BY_OPERATOR",
        609: "EC_SIGNALS_HARD_LIMIT_REACHED",
        2049: "EC_IMSI_BLACKLISTED",
        2052: "EC_BLACKLISTED_DESTINATIONADDRESS",
        2053: "EC_BLACKLISTED_SENDERADDRESS",
        3041: "EC_DEACTIVATED_LIST",
        4096: "EC_INVALID_PDU_FORMAT",
        4099: "EC_MONTHLY_LIMIT_REACHED",
        4100: "EC_MESSAGE_CANCELED",
        4101: "EC_VALIDITY_EXPIRED",
        4102: "EC_NOTSUBMITTEDTOSMPPCHANNEL",
        4103: "EC_DESTINATION_FLOODING",
        4104: "EC_DESTINATION_TXT_FLOODING",
        4202: "EC_10DLC_LIMIT_REACHED",
    },
    (3, False): {
        15: "EC_CUG_REJECT",
        20: "EC_SS_INCOMPATIBILITY",
        24: "EC_NO_RADIO_RESOURCE_AVAILABLE",
        71: "EC_UNKNOWN_ALPHABET",
        501: "EC_INVALID_RESPONSE_RECEIVED",
        571: "EC_CAMPAIGN_ID_REJECTED",
        2048: "EC_TIME_OUT",
        2051: "EC_INVALIDMSCADDRESS",
        4097: "EC_NOTSUBMITTEDTOGMSC",
        4098: "EC_VP_EXPIRED",
    },
    (3, True): {
        10: "EC_BEARER_SERVICE_NOT_PROVISIONED",
        51: "EC_RESOURCE_LIMITATION",
        345: "EC_OPERATOR_NOT_FOUND",
        375: "EC_SOURCE_ADDRESS_IS_BLOCKED",
        488: "EC_TF_NUMBER_NOT_VERIFIED",
        560: "EC_SC_BLOCKED_FOR_END_USER",
        561: "EC_CONTENT_BLOCKED_BY_OPERATOR",
        562: "EC_SC_NOT_PROVISIONED",
        563: "EC_SC_EXPIRED",
        564: "EC_SC_BLOCKED",
        566: "EC_DESTINATION_BLOCKED_BY_OPERATOR",
        568: "EC_DESTINATION_NOT_SMS_PROVISIONED",
        569: "EC_DEST_ADDRESS_SUSPENDED",
        574: "EC_BLOCKED_NEW_SUBSCRIPTIONS_FOR_SC",
        592: "EC_ACCOUNT_NOT_PROVISIONED_FOR_CHANNEL",
        630: "EC_DEST_OVERLOADED",
        631: "EC_MOBILE_OPERATOR_NETWORK_ERROR",
        632: "EC_SMS_REJECTED_BY_MOBILE_OPERATOR",
        633: "EC_UNKNOWN_MOBILE_OPERATOR",
        810: "EC_FAILED_MESSAGE_DELIVERY",
        811: "EC_MESSAGE_EXPIRED",
        815: "EC_MESSAGE_SUBMITTED_NOT_ACKED",
        2050: "EC_DEST_ADDRESS_BLACKLISTED",
        4102: "EC_NOTSUBMITTEDTOSMPPCHANNEL",
        5492: "EC_DUPLICATE_MESSAGE",
    },
}

STATUSES: Final = {key: Status(key, *row) for key, row in _STATUSES.items()}
ERRORS: Final = {
    key: ReportError(key, group, name, permanent)
    for (group, permanent), names in _ERRORS.items()
    for key, name in names.items()
}
STATUS_JSON: Final = {key: status.json for key, status in STATUSES.items()}

# The current registry's names where they differ from the manual and the classic one.
REGISTRY_NAMES: Final = {14: "REJECTED_DESTINATION_BLOCKLISTED", 26: "PENDING_ACCEPTED"}


@dataclass(frozen=True, slots=True)
class Spelled:
    """A status with its error, ready to be written into a report."""

    id: int
    group: int
    status: dict[str, object]
    error: dict[str, object]


@lru_cache(maxsize=1024)
def spell(spec: str) -> Spelled:
    """`status[:error[:permanent]]` as ids: "9:27"; "9:27:true" sets the flag against the registry; "5.777:9999" puts
    ids that no table knows into group 5.

    Errors: ValueError for an unknown status without a group.
    """
    status_part, error_part, flag = (*spec.split(":"), "", "")[:3]
    group_part, dot, id_part = status_part.rpartition(".")
    status = Status(int(id_part), int(group_part), "UNLISTED", "Unlisted status") if dot else _known(int(id_part))
    error = int(error_part or USUAL_ERROR.get(status.id, 0))
    row = ERRORS.get(error) or ReportError(error, 1, "EC_UNLISTED", False)
    return Spelled(status.id, status.group, status.json, row.json | ({"permanent": flag == "true"} if flag else {}))


def _known(status_id: int) -> Status:
    if status_id not in STATUSES:
        raise ValueError(f"status {status_id} is not in the table; write group.{status_id}")
    return STATUSES[status_id]


# The error a report carries when an outcome names only the status.
USUAL_ERROR: Final = {4: 632, 9: 32, 15: 4098, 20: 4103, 22: 255, 29: 502, 31: 4100}
