#include "go_asm.h"
#include "textflag.h"

// SI  the next input byte                R15 the last position at which a round may begin
// DI  the next output byte               R14 the same for the output
// R8  the available bits                 R9  their number, in the lowest byte: a whole entry
//                                            may be subtracted from it
// R10 the table of literals and lengths  R11 the table of distances
// AX  the current entry                  BX  the bits before it was consumed

// Provides at least 56 bits. Clobbers CX and DX.
#define REFILL \
	MOVQ  (SI), DX     \
	SHLXQ R9, DX, DX   \
	ORQ   DX, R8       \
	MOVL  R9, CX       \
	SHRL  $3, CX       \
	ANDL  $7, CX       \
	SUBQ  CX, SI       \
	ADDQ  $7, SI       \
	ORL   $56, R9

// Loads the entry of the next bits into AX. Clobbers DX.
#define LOOKUP \
	MOVL R8, DX          \
	ANDL $0x7FF, DX      \
	MOVL (R10)(DX*4), AX

// Consumes the entry's bits; the sign flag reports a literal.
#define CONSUME \
	MOVQ  R8, BX     \
	SHRXQ AX, R8, R8 \
	SUBL  AX, R9     \
	TESTL AX, AX

// Extracts the value of entry AX, whose bits are the lowest of TO. Clobbers AX and CX.
#define VALUE(TO) \
	BZHIQ AX, TO, TO \
	MOVL  AX, CX     \
	SHRL  $8, CX     \
	SHRXQ CX, TO, TO \
	SHRL  $16, AX    \
	ADDQ  AX, TO

// Finds the subtable's entry by the pointer AX and the next bits. Clobbers AX and CX.
#define SUBTABLE \
	MOVL  AX, CX      \
	SHRL  $8, CX      \
	ANDL  $15, CX     \
	BZHIQ CX, R8, DX  \
	SHRL  $16, AX     \
	ADDQ  AX, DX

// func fastBMI2(t *tables, s *state, posLimit, oLimit int) int
TEXT ·fastBMI2(SB), NOSPLIT, $8-40
	MOVQ t+0(FP), R10
	LEAQ tables_dist(R10), R11
	MOVQ s+8(FP), AX
	MOVQ state_src(AX), SI
	MOVQ posLimit+16(FP), R15
	ADDQ SI, R15
	ADDQ state_pos(AX), SI
	MOVQ state_dst(AX), DI
	MOVQ DI, start-8(SP)
	MOVQ oLimit+24(FP), R14
	ADDQ DI, R14
	ADDQ state_o(AX), DI
	MOVQ state_buf(AX), R8
	MOVQ state_n(AX), R9

	CMPQ SI, R15
	JHI  limit
	CMPQ DI, R14
	JHI  limit
	REFILL
	LOOKUP

round:
	CONSUME
	JGE match

	// A literal: look up the next entry before writing this one. Two take at most 22 of
	// the 56 bits, and a length 20 more.
	SHRL $16, AX
	MOVB AX, (DI)
	LOOKUP
	INCQ DI
	CONSUME
	JGE  match
	SHRL $16, AX
	MOVB AX, (DI)
	LOOKUP
	INCQ DI
	CONSUME
	JGE  match
	SHRL $16, AX

	// At most 37 bits are consumed, so those of the next entry are available.
literal:
	MOVB AX, (DI)
	INCQ DI
	LOOKUP
	REFILL

check:
	CMPQ SI, R15
	JHI  limit
	CMPQ DI, R14
	JLS  round

limit:
	MOVQ $const_fastLimit, AX

done:
	MOVQ s+8(FP), BX
	SUBQ state_src(BX), SI
	MOVQ SI, state_pos(BX)
	SUBQ state_dst(BX), DI
	MOVQ DI, state_o(BX)
	MOVQ R8, state_buf(BX)
	ANDL $63, R9
	MOVQ R9, state_n(BX)
	MOVQ AX, ret+32(FP)
	RET

match:
	TESTL $const_isOther, AX
	JNE   other

length:
	VALUE(BX)
	// At least 14 bits are left: enough to look up a distance, which takes at most 28 and
	// so leaves enough for the next entry.
	MOVBLZX R8, DX
	MOVL    (R11)(DX*4), AX
	REFILL
	TESTL   $const_isOther, AX
	JNE   otherDistance

distance2:
	MOVQ  R8, R12
	SHRXQ AX, R8, R8
	SUBL  AX, R9
	VALUE(R12)
	MOVQ  DI, R13
	SUBQ  R12, R13
	CMPQ  R13, start-8(SP)
	JCS   damaged
	LOOKUP
	REFILL
	ADDQ  DI, BX
	CMPQ  R12, $16
	JCS   near
	MOVOU (R13), X0
	MOVOU X0, (DI)
	MOVOU 16(R13), X0
	MOVOU X0, 16(DI)
	ADDQ  $32, DI
	CMPQ  DI, BX
	JCC   copied

far:
	MOVOU 32(R13), X0
	MOVOU X0, (DI)
	ADDQ  $16, R13
	ADDQ  $16, DI
	CMPQ  DI, BX
	JCS   far

copied:
	MOVQ BX, DI
	JMP  check

// A match at a distance below 16 bytes: copy in words where source and target words do not
// overlap.
near:
	CMPQ R12, $8
	JCS  nearer

words:
	MOVQ (R13), CX
	MOVQ CX, (DI)
	ADDQ $8, R13
	ADDQ $8, DI
	CMPQ DI, BX
	JCS  words
	MOVQ BX, DI
	JMP  check

nearer:
	CMPQ R12, $1
	JEQ  run

// In each word, only as many first bytes are valid as the distance.
pieces:
	MOVQ (R13), CX
	MOVQ CX, (DI)
	ADDQ R12, R13
	ADDQ R12, DI
	CMPQ DI, BX
	JCS  pieces
	MOVQ BX, DI
	JMP  check

run:
	MOVBLZX    (R13), CX
	MOVQ       $0x0101010101010101, DX
	IMULQ      DX, CX
	MOVQ       CX, X0
	PUNPCKLQDQ X0, X0

runs:
	MOVOU X0, (DI)
	ADDQ  $16, DI
	CMPQ  DI, BX
	JCS   runs
	MOVQ  BX, DI
	JMP   check

// Neither a literal nor a length: an entry of a subtable, or one that stops decoding.
other:
	TESTL $(const_isEnd|const_isNone), AX
	JNE   undo
	MOVQ  BX, R13
	MOVL  AX, R12
	SUBTABLE
	MOVL  (R10)(DX*4), AX
	CONSUME
	JLT   longLiteral
	TESTL $const_isOther, AX
	JEQ   length
	MOVQ  R13, BX
	ADDL  R12, R9

undo:
	ADDL AX, R9
	MOVQ BX, R8
	MOVQ $const_fastOther, AX
	JMP  done

longLiteral:
	SHRL $16, AX
	JMP  literal

otherDistance:
	TESTL $const_isNone, AX
	JNE   damaged
	SHRXQ AX, R8, R8
	SUBL  AX, R9
	SUBTABLE
	MOVL  (R11)(DX*4), AX
	TESTL $const_isOther, AX
	JEQ   distance2

damaged:
	MOVQ $const_fastDamaged, AX
	JMP  done
